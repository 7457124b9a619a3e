"""Hashing losses: functions of a batch's codes, the code memory and who is similar to whom."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from hashprobe.models.losses.dph import dph
from hashprobe.models.losses.dpsh import dpsh
from hashprobe.models.losses.dvh import dvh
from hashprobe.models.losses.hashnet import hashnet, hashnet_slope


Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""codes (B, K), memory (N, K), similar (B, N) -> a scalar."""

LOSSES: dict[str, Loss] = {"dph": dph, "dpsh": dpsh, "dvh": dvh, "hashnet": hashnet}

SLOPES: dict[str, Callable[[int], float]] = {"hashnet": hashnet_slope}
"""beta of u = tanh(beta z) by training step, for losses that want another than 1."""

__all__ = ["LOSSES", "SLOPES", "Loss", "dph", "dpsh", "dvh", "hashnet", "hashnet_slope"]
