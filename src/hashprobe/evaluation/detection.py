"""How well a detector tells attacked queries from clean ones: the ROC curve and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError


@checked
@dataclass(frozen=True, eq=False)
class Roc:
    """The share of attacked queries that are found, by the share of clean ones that are, too.

    Example:
        >>> found = roc(np.array([0.1, 0.2, 0.3]), np.array([0.25, 0.9]))
        >>> round(found.auc, 3), found.found_at(0.0), round(found.threshold_at(0.34), 2)
        (0.833, 0.5, 0.25)
    """

    false_alarms: Float64[np.ndarray, " p"]
    """Share of clean queries above each threshold, rising from 0 to 1."""
    found: Float64[np.ndarray, " p"]
    """Share of attacked queries above it."""
    thresholds: Float64[np.ndarray, " p"]
    """The thresholds, falling; a score of at least one of them is an alarm."""
    auc: float
    """Area under the curve: chance that an attacked query scores above a clean one."""

    def found_at(self, false_alarms: float) -> float:
        """The largest share of attacked queries that is found at so many false alarms at most.

        Args:
            false_alarms: share of clean queries, 0 to 1.
        """
        return float(self.found[self.allowed(false_alarms)].max())

    def threshold_at(self, false_alarms: float) -> float:
        """The smallest threshold with so many false alarms at most.

        Args:
            false_alarms: share of clean queries, 0 to 1.
        """
        return float(self.thresholds[self.allowed(false_alarms)].min())

    def allowed(self, false_alarms: float) -> Bool[np.ndarray, " p"]:
        """Which thresholds have so many false alarms at most."""
        if not 0 <= false_alarms <= 1:
            raise HashprobeError(f"a share of false alarms is from 0 to 1; got {false_alarms!r}")
        allowed: np.ndarray = self.false_alarms <= false_alarms
        return allowed

    def to_json(self) -> dict[str, Any]:
        """As JSON: the area, and what is found at 1 % and 5 % false alarms."""
        return {"auc": self.auc, **{f"found@{s}": self.found_at(s) for s in (0.01, 0.05)}}


@checked
def roc(clean: Float64[np.ndarray, " n"], attacked: Float64[np.ndarray, " m"]) -> Roc:
    """The ROC curve of a detector's scores.

    Args:
        clean: (N,) scores of clean queries; larger is more suspicious.
        attacked: (M,) scores of attacked ones.

    Returns:
        Every point of the curve.

    Raises:
        HashprobeError: no scores of one kind, or scores that are not numbers.

    Example:
        >>> roc(np.array([0.0, 1.0]), np.array([0.0, 1.0])).auc
        0.5
    """
    if not clean.size or not attacked.size:
        raise HashprobeError("a ROC curve needs scores of clean and of attacked queries")
    if not (np.isfinite(clean).all() and np.isfinite(attacked).all()):
        raise HashprobeError("scores of a detector must be finite numbers")
    from sklearn.metrics import roc_auc_score, roc_curve

    truth = np.repeat([0, 1], [len(clean), len(attacked)])
    scores = np.concatenate([clean, attacked])
    false_alarms, found, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    return Roc(false_alarms, found, thresholds, float(roc_auc_score(truth, scores)))
