"""The cells of a comparison's table; imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hashprobe.evaluation.measurement import Measurement, measure_of
from hashprobe.report.escape import in_markdown
from hashprobe.report.markdown import line


UNSURE = "~"
"""Marks a number whose difference to the best one may be chance."""


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown with columns as wide as their widest cell; the first row heads it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows
    ]
    lines.insert(1, "|" + "".join("-" * (width + 2) + "|" for width in widths))
    return "\n".join(lines) + "\n"


def cells(
    numbers: Sequence[Measurement | None], text: Callable[[Measurement], str]
) -> Iterator[str]:
    """The MAP of each run, marked where it cannot be told from the highest of them."""
    known = [number for number in numbers if number is not None]
    best = max(known, key=lambda one: one.value) if known else None
    alike = len(measures(known)) == 1
    for number in numbers:
        if number is None or best is None:
            yield ""
        else:
            unsure = alike and number is not best and not apart(best, number)
            yield UNSURE * unsure + text(number)


def measures(numbers: Sequence[Measurement | None]) -> set[str]:
    """What some numbers measure: of several, they are not compared."""
    return {measure_of(number.signature) for number in numbers if number is not None}


def apart(higher: Measurement, lower: Measurement) -> bool:
    """Whether the difference of two numbers over the same queries is more than chance."""
    low = (higher - lower).low
    return low is not None and low > 0


def short(number: Measurement) -> str:
    """A number in per cent."""
    return f"{100 * number.value:.1f}"


def interval(number: Measurement) -> str:
    """A number in per cent with its interval."""
    if number.low is None or number.high is None:
        return short(number)
    return f"{short(number)} [{100 * number.low:.1f}, {100 * number.high:.1f}]"


def option_text(option: tuple[str, Any]) -> str:
    """An option of a defence as the command line takes it.

    Example:
        >>> option_text(("n_t", 1)), option_text(("eps", 4 / 255)), option_text(("awp", 0.005))
        ('n_t=1', 'eps=4/255', 'awp=0.005')
        >>> option_text(("step_size", None))
        'step_size=none'
    """
    name, value = option
    if not isinstance(value, float):
        return f"{name}={'none' if value is None else in_markdown(str(value))}"
    levels = round(255 * value)
    in_levels = name in ("eps", "step_size") and abs(255 * value - levels) < 1e-6
    return f"{name}={levels}/255" if in_levels else f"{name}={value:g}"
