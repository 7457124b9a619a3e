"""What the numbers of a recipe say of a claim: it holds, it is open, or it does not hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from hashprobe.evaluation.bootstrap import BOOTSTRAP
from hashprobe.paper.recipe import Claim
from hashprobe.paper.result import Curves, Entry, Result, mean_of


Word: TypeAlias = Literal["holds", "open", "does not hold"]
LEVEL = (1 - BOOTSTRAP.confidence) / 2
"""p-value at which a one-sided comparison is decided: that of one end of the interval."""
HAIR = 1e-9
"""What two mean curves may differ by in rounding."""


@dataclass(frozen=True)
class Comparison:
    """One comparison behind a claim."""

    met: bool
    """Whether the means themselves satisfy it."""
    yes: float
    """p-value of the claim that it is satisfied; 1 where the queries say nothing."""
    no: float
    """p-value of the claim that it is not."""
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of one claim.

    Example:
        >>> Verdict("DHTA is above P2P", "holds", "32 bits: +8.2 [+4.1, +12.5]", True).holds
        True
    """

    say: str
    word: Word
    """holds: every comparison does, by its interval; does not hold: one of them does not, by its
    interval and after Holm's correction; open: the queries decide neither."""
    numbers: str
    """The comparisons behind it, column by column."""
    met: bool
    """Whether the means themselves satisfy it, whatever chance did."""
    ours: bool = False
    """Whether it is an expectation of ours and not a sentence of the paper."""

    @property
    def holds(self) -> bool:
        """Whether the claim holds beyond chance."""
        return self.word == "holds"


def verdicts(result: Result) -> list[Verdict]:
    """What the numbers say of the claims of their recipe.

    Args:
        result: the numbers.

    Returns:
        One verdict for each claim, in the order of the recipe.

    Example:
        >>> from hashprobe.paper.recipe import load_recipe
        >>> from hashprobe.paper.settings import load_setting
        >>> recipe, setting = load_recipe("table1"), load_setting("digits", "bench")
        >>> places = [(i, j) for i in range(len(recipe.rows)) for j in range(len(recipe.columns))]
        >>> grid = {place: Entry(50.0, 40.0, 60.0, "tMAP@1000|v:0.1") for place in places}
        >>> {verdict.word for verdict in verdicts(Result(recipe, setting, grid, {}, ()))}
        {'open'}
    """
    return [check(claim, result) for claim in result.recipe.claims]


def check(claim: Claim, result: Result) -> Verdict:
    """One claim on the numbers.

    `above`: every row but the last is above the last by more than `by`. `near`: two rows differ by
    less than `by`. `around`: their difference, the mean over the columns, is `by`, give or take
    `within`. `exceeds`: the rows are above `by`. `grows`: every step is upwards; a step down counts
    against it if it is of more than `by`. `curves above`: precision at every list length and over
    every recall. Queries without a hit count 0.

    A claim of several comparisons holds where each does by its own interval; steps of `grows` have
    to pass Holm's correction, as has every comparison that speaks against a claim.

    Args:
        claim: the claim.
        result: the numbers.
    """
    seen = comparisons(claim, result)
    against = sum(holm([one.no for one in seen]))
    steps = claim.check.startswith(("grows", "falls"))
    clear = holm([one.yes for one in seen]) if steps else [one.yes <= LEVEL for one in seen]
    met, half = sum(one.met for one in seen), len(seen) / 2
    if claim.check == "mostly above":
        holds, fails, fine = sum(clear) > half, against >= half, met > half
    else:
        holds, fails, fine = all(clear), against > 0, met == len(seen)
    # Means that deny a claim are never called a proof of it, as rounding might.
    word: Word = "holds" if holds and fine else "does not hold" if fails and not fine else "open"
    return Verdict(
        claim.say, word, "; ".join(one.text for one in seen if one.text), fine, claim.ours
    )


def holm(doubts: Sequence[float]) -> list[bool]:
    """Which of several p-values pass Holm's correction (1979) at the level of an interval's end.

    Example:
        >>> holm([0.02, 0.001, 0.01]), holm([0.02, 0.02])
        ([True, True, True], [False, False])
    """
    passed, order = [False] * len(doubts), np.argsort(doubts, kind="stable")
    for done, place in enumerate(order):
        if doubts[place] > LEVEL / (len(doubts) - done):
            break
        passed[place] = True
    return passed


def comparisons(claim: Claim, result: Result) -> list[Comparison]:
    """The comparisons behind a claim."""
    recipe, rows, by = result.recipe, claim.rows, claim.by
    about = claim.columns or [column.name for column in recipe.columns]
    columns = [j for j, column in enumerate(recipe.columns) if column.name in about]
    names = {j: recipe.columns[j].name for j in columns}
    label = {i: f"{recipe.rows[i].name}, " if len(rows) > 2 else "" for i in rows}

    def gap(i: int, j: int) -> Entry:
        return result.grid[i, j].minus(result.grid[rows[-1], j])

    if claim.check in ("above", "mostly above"):
        return [beyond(gap(i, j), by, label[i] + names[j]) for i in rows[:-1] for j in columns]
    if claim.check == "near":
        return [within(gap(rows[0], j), -by, by, names[j]) for j in columns]
    if claim.check == "around":
        mean = mean_of([gap(rows[0], j) for j in columns])
        return [within(mean, by - claim.within, by + claim.within, f"mean of {len(columns)}")]
    if claim.check == "curves above":
        return curves_above(result.curves[rows[0]], result.curves[rows[1]])
    if claim.check == "halves":
        pairs = [(result.grid[rows[0], j], result.grid[rows[1], j], names[j]) for j in columns]
        return [
            replace(
                beyond(other.halved().minus(one), 0, name),
                text=f"{name}: {one.value:.1f} of {other.value:.1f}",
            )
            for one, other, name in pairs
        ]
    if claim.check == "exceeds":
        label = {i: f"{recipe.rows[i].name}, " if len(rows) > 1 else "" for i in rows}
        return [
            replace(
                beyond(result.grid[i, j], by, ""),
                text=f"{label[i]}{names[j]}: {result.grid[i, j]}",
            )
            for i in rows
            for j in columns
        ]
    if claim.check == "grows down":
        lines = [([result.grid[i, j] for i in rows], f"{names[j]}: ") for j in columns]
    else:
        values = [result.grid[rows[0], j] for j in columns]
        back = claim.check == "falls along"
        ends = f"from {names[columns[-1]]} to {names[columns[0]]}: " if back else ""
        lines = [(values[::-1] if back else values, ends)]
    return [step for values, name in lines for step in growth(values, by, name)]


def beyond(gap: Entry, by: float, name: str) -> Comparison:
    """Whether a difference is above a bound."""
    yes, no = gap.doubts(by) or (1.0, 1.0)
    return Comparison(gap.value > by, yes, no, f"{name}: {signed(gap)}")


def within(gap: Entry, low: float, high: float, name: str) -> Comparison:
    """Whether a difference lies between two bounds."""
    above_low, below_low = gap.doubts(low) or (1.0, 1.0)
    above_high, below_high = gap.doubts(high) or (1.0, 1.0)
    yes, no = max(above_low, below_high), min(1.0, 2 * min(below_low, above_high))
    return Comparison(low < gap.value < high, yes, no, f"{name}: {signed(gap)}")


def growth(values: Sequence[Entry], slack: float, name: str) -> list[Comparison]:
    """Whether every step is upwards; those down by more than the slack speak against it."""
    steps, text = [], f"{name}{values[0].value:.1f}"
    for one, other in pairwise(values):
        step = other.minus(one)
        yes, no = (step.doubts(0) or (1.0, 1.0))[0], (step.doubts(-slack) or (1.0, 1.0))[1]
        text += f" → {other.value:.1f} ({signed(step)})"
        steps.append(Comparison(step.value > -slack, yes, no, ""))
    steps[0] = replace(steps[0], text=text)  # the steps of a line are one text
    return steps


def curves_above(one: Curves, other: Curves) -> list[Comparison]:
    """Whether one row's curves lie above another's: at each N query by query, over recall by means.

    List lengths at which the curves cannot differ, such as the whole database, are left out.
    """
    gaps = 100 * (one.precision - other.precision)
    columns = [column for column in range(gaps.shape[1]) if gaps[:, column].any()]
    entries = [Entry.over(gaps[:, column], "", (-100.0, 100.0)) for column in columns]
    found = [replace(beyond(entry, 0, ""), text="") for entry in entries]
    if found:
        least = min(range(len(found)), key=lambda place: entries[place].value)
        where = f"precision, least difference at N = {one.lengths[columns[least]]}"
        found[least] = replace(found[least], text=f"{where}: {signed(entries[least])}")
    least_gap, recall = over_recall(one, other)
    above = least_gap > -HAIR
    text = f"precision over recall, least difference of the means at recall {recall:.2f}"
    sure = 0.0 if above else 1.0
    return [*found, Comparison(above, sure, 1.0, f"{text}: {least_gap:+.1f}")]


def over_recall(one: Curves, other: Curves) -> tuple[float, float]:
    """The least difference of two precision-recall curves, and the recall where it is.

    Compared are the recalls that both curves reach, in steps of 0.01.
    """
    start = max(one.mean_recall[0], other.mean_recall[0])
    recalls = np.linspace(start, 1, max(2, round((1 - start) * 100) + 1))
    high, low = (np.interp(recalls, c.mean_recall, c.mean_precision) for c in (one, other))
    least = int(np.argmin(high - low))
    return 100 * float((high - low)[least]), float(recalls[least])


def signed(gap: Entry) -> str:
    """A difference with its sign and interval."""
    if gap.low is None or gap.high is None:
        return f"{gap.value:+.1f}"
    return f"{gap.value:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]"
