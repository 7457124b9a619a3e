"""DHTA with the step that suits it: the released length, and the best of several on other queries.

A step of unit l2 length moves a value by 0.66/255 (root of the mean square) at 224 pixels and by
4.6/255 at 32, more than a budget of 2/255. A comparison on small pictures needs a baseline whose
step was chosen, on queries that are not those of the comparison.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hashprobe.attacks._dhta import PAPER_VALUES, DhtaOptions
from hashprobe.evaluation.measurement import Measurement
from hashprobe.workflow.step_tuning import SIZES, strongest


SCALED = SIZES
"""Step sizes that are tried, as multiples of the released step's length at 224 pixels."""
RELEASED = (1.0, 3.0)
"""Step sizes that are tried, as multiples of the released step itself."""


@dataclass(frozen=True)
class Baseline:
    """DHTA with one step."""

    name: str
    """How the step is called in tables."""
    options: DhtaOptions


def baselines(released: DhtaOptions, size: int) -> list[Baseline]:
    """DHTA as released, first, and with the other steps; none comes twice, as at 224 pixels."""
    unit = (3 * size * size / PAPER_VALUES) ** 0.5
    found: dict[float, Baseline] = {}
    for step, sizes, length in (("unit", RELEASED, 1.0), ("scaled", SCALED, unit)):
        for times in sizes:
            name = "released" if step == "unit" else "scaled"
            name += "" if (step, times) == ("unit", 1.0) else f" x {times:g}"
            options = replace(released, step=step, step_size=times)
            found.setdefault(round(times * length, 6), Baseline(name, options))
    return list(found.values())


def tuned(choices: list[Baseline], on_others: Callable[[Baseline], Measurement]) -> Baseline:
    """The choice with the highest t-MAP on other queries; of equal ones the first."""
    return strongest(choices, lambda choice: on_others(choice).value)
