"""What speaks against taking the numbers of a comparison for robustness."""

from collections.abc import Sequence

from hashprobe.evaluation.measurement import Measurement
from hashprobe.workflow.comparison import Trial


SLACK = 0.02
"""By how much an attack may be weaker than one that should be weaker, before a flag goes up."""


def flags_of(
    clean: Measurement | None, trials: Sequence[Trial], saturated: float, huge: Measurement | None
) -> tuple[str, ...]:
    """What speaks against taking the numbers of a run for robustness.

    Args:
        clean: MAP without an attack.
        trials: its attacks.
        saturated: share of the bits of clean queries whose tanh is beyond 0.999.
        huge: t-MAP of the longer targeted attack within 64/255 less that of its target codes, which
            an attack that finds its way brings to 0.

    Returns:
        Sentences; none where nothing is suspicious.

    Example:
        >>> flags_of(None, (), 0.95, None)
        ('95% of the bits are saturated',)
    """
    known = {trial.name: trial for trial in trials}
    found = []
    white = [t.map.value for t in trials if t.gradients and t.map is not None]
    blind = [t for t in trials if not t.gradients and t.map is not None]
    for trial in blind:
        assert trial.map is not None
        if white and trial.map.value < min(white) - SLACK:
            found.append(f"{trial.title} is stronger than every attack with gradients")
    for short, long in (("away", "away-more"), ("bit-margin", "bit-margin-more")):
        pair = known.get(short), known.get(long)
        if pair[0] is None or pair[1] is None:
            continue
        for part, sign in (("tmap", 1), ("map", -1)):
            values = [getattr(one, part) for one in pair]
            if part == "map" and short != "away":
                continue
            if None not in values and sign * (values[0].value - values[1].value) > SLACK:
                found.append(f"{pair[1].title} is weaker than {pair[0].title}")
    if saturated > 0.9:
        found.append(f"{saturated:.0%} of the bits are saturated")
    if huge is not None and huge.value < -0.1:
        found.append(f"64/255 does not reach the target codes (t-MAP {100 * huge.value:+.0f})")
    return tuple(found)
