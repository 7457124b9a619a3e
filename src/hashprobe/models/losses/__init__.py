"""Hashing losses: functions of a batch's codes, the code memory and who is similar to whom."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from hashprobe.models.losses.dph import dph
from hashprobe.models.losses.dpsh import dpsh


Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""codes (B, K), memory (N, K), similar (B, N) -> a scalar."""

LOSSES: dict[str, Loss] = {"dph": dph, "dpsh": dpsh}

__all__ = ["LOSSES", "Loss", "dph", "dpsh"]
