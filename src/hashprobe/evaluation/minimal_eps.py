"""How small a perturbation is enough: for each query, and for a share of all queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, LEAST, Bootstrap
from hashprobe.evaluation.measurement import Curve, sign, with_method


SHARES = (0.5, 0.9, 0.99)
"""Shares of the queries for which a budget is given."""
METHOD = "order"
"""What signatures call the interval: two order statistics."""


@checked
def least_budgets(
    succeeded: Bool[np.ndarray, "q b"], budgets: Sequence[float]
) -> Float64[np.ndarray, " q"]:
    """The smallest budget at which each query's attack succeeds.

    What a small budget allows a larger one allows, too, so one success is enough.

    Args:
        succeeded: (Q, B) whether the attack on a query succeeded within a budget.
        budgets: B values of eps, rising, above 0.

    Returns:
        float64 (Q,), infinite where no budget was enough.

    Raises:
        HashprobeError: budgets that do not rise or do not fit.

    Example:
        >>> least_budgets(np.array([[False, True], [False, False]]), [1 / 255, 2 / 255]) * 255
        array([ 2., inf])
    """
    levels = check_budgets(budgets)
    if succeeded.shape[1] != len(levels):
        raise HashprobeError(f"{succeeded.shape[1]} results a query for {len(levels)} budgets")
    return np.where(succeeded.any(axis=1), levels[succeeded.argmax(axis=1)], np.inf)


@checked
@dataclass(frozen=True)
class NeededEps:
    """The smallest eps at which the attacks on a share of the queries succeed.

    Example:
        >>> print(needed_eps(np.arange(1, 101) / 255, shares=[0.5])[0])
        50 % need 50/255 [40/255, 61/255]
    """

    share: float
    """The share of the queries."""
    value: float | None
    """Smallest eps in [0, 1] pixels; None where no budget was enough for so many."""
    low: float | None
    """Lower bound; None with too few queries, or where no budget was enough."""
    high: float | None
    """Upper bound; None with too few queries, or where the largest budget may not be enough."""
    signature: str
    """How the number was computed."""

    def __str__(self) -> str:
        value, low, high = (shown_eps(x) for x in (self.value, self.low, self.high))
        interval = "" if self.low is None and self.high is None else f" [{low}, {high}]"
        return f"{self.share * 100:g} % need {value}{interval}"

    def to_json(self) -> dict[str, Any]:
        """What goes into a file."""
        names = ("share", "value", "low", "high", "signature")
        return {name: getattr(self, name) for name in names}


@checked
def needed_eps(
    least: Float64[np.ndarray, " q"],
    shares: Sequence[float] = SHARES,
    *,
    goal: str = "evasion",
    bootstrap: Bootstrap = BOOTSTRAP,
) -> list[NeededEps]:
    """The smallest eps at which a share of the queries succeeds, by order statistics.

    The interval is that of a quantile without assumptions: its ends are the order statistics
    between which the quantile lies with the confidence, by the binomial distribution.

    Args:
        least: (Q,) smallest eps of each query, infinite where none was enough, NaN where the query
            does not count.
        shares: shares of the queries, above 0 and at most 1.
        goal: what the attack wants, for the signature.
        bootstrap: its confidence is that of the interval.

    Returns:
        One for each share.

    Raises:
        HashprobeError: a share out of range, eps that are not positive, or no query that counts.

    Example:
        >>> [found.value for found in needed_eps(np.array([0.1, 0.2, np.inf, 0.3]))]
        [0.2, None, None]
    """
    counted = np.sort(least[~np.isnan(least)])
    if not counted.size:
        raise HashprobeError("no query is left: the smallest eps of each is NaN")
    if counted[0] <= 0:
        raise HashprobeError(f"eps must be above 0; got {counted[0]}")
    found = []
    for share in shares:
        if not 0 < share <= 1:
            raise HashprobeError(f"a share of the queries must be above 0, at most 1; got {share}")
        place = at_least(share * len(counted))
        low, high = order_bounds(counted, share, bootstrap.confidence)
        signature = sign(f"eps@{share:g}", goal=goal, q=len(counted))
        known = with_method(signature, METHOD)
        found.append(NeededEps(share, finite(counted[place - 1]), low, high, known))
    return found


@checked
def success_curve(
    least: Float64[np.ndarray, " q"],
    budgets: Sequence[float],
    *,
    goal: str = "evasion",
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Curve:
    """The share of the queries that succeed within each budget.

    Args:
        least: (Q,) smallest eps of each query, infinite where none was enough, NaN where the query
            does not count.
        budgets: values of eps, rising, above 0.
        goal: what the attack wants, for the signature.
        bootstrap: how the intervals are computed.

    Raises:
        HashprobeError: budgets that do not rise, or no query that counts.

    Example:
        >>> success_curve(np.array([0.1, 0.2, np.inf, 0.3]), [0.1, 0.25, 0.5]).value
        array([0.25, 0.5 , 0.75])
    """
    levels = check_budgets(budgets)
    reached = (least[:, None] <= levels).astype(np.float64)
    reached[np.isnan(least)] = np.nan
    signature = sign("success@eps", goal=goal, q=int((~np.isnan(least)).sum()))
    return Curve.of(levels, reached, signature, bootstrap)


def order_bounds(
    ordered: Float64[np.ndarray, " q"], share: float, confidence: float
) -> tuple[float | None, float | None]:
    """The order statistics between which a quantile lies; None with too few values."""
    from scipy.stats import binom  # type: ignore[import-untyped]

    size, tail = len(ordered), (1 - confidence) / 2
    if size < LEAST:
        return None, None
    if share == 1:
        return finite(ordered[-1]), None
    low = int(binom.ppf(tail, size, share))
    high = int(binom.ppf(1 - tail, size, share)) + 1
    lower = float(ordered[low - 1]) if low >= 1 else 0.0
    return finite(lower), finite(ordered[high - 1]) if high <= size else None


def at_least(count: float) -> int:
    """The smallest whole number that is not below a product of floats, from 1 on."""
    return max(1, int(np.ceil(count - 1e-9)))


def finite(value: float) -> float | None:
    """A number, or None for an infinite one."""
    return float(value) if np.isfinite(value) else None


def shown_eps(eps: float | None) -> str:
    """An eps in grey levels."""
    return "more than was tried" if eps is None else f"{eps * 255:.4g}/255"


def check_budgets(budgets: Sequence[float]) -> Float64[np.ndarray, " b"]:
    """Budgets as an array; they must rise."""
    levels = np.asarray(budgets, np.float64)
    if not levels.size or not np.isfinite(levels).all() or levels[0] <= 0:
        raise HashprobeError(f"budgets must be values of eps above 0; got {list(budgets)!r:.80}")
    if (np.diff(levels) <= 0).any():
        raise HashprobeError(f"budgets must rise; got {list(budgets)!r:.80}")
    return levels
