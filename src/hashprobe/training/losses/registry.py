"""Hashing losses: functions of a batch's codes, and of who is similar to whom or of centres."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from hashprobe.training.losses.csq import csq
from hashprobe.training.losses.dph import dph
from hashprobe.training.losses.dpsh import dpsh
from hashprobe.training.losses.dvh import dvh
from hashprobe.training.losses.hashnet import hashnet, hashnet_slope


Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""codes (B, K), memory (N, K), similar (B, N) -> a scalar."""
CentreLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""codes (B, K), centre of each item (B, K) -> a scalar."""

LOSSES: dict[str, Loss] = {"dph": dph, "dpsh": dpsh, "dvh": dvh, "hashnet": hashnet}

CENTRE_LOSSES: dict[str, CentreLoss] = {"csq": csq}
"""Losses that draw an item to the centre of its labels, and compare it with no other item."""

SLOPES: dict[str, Callable[[int], float]] = {"hashnet": hashnet_slope}
"""beta of u = tanh(beta z) by training step, for losses that want another than 1."""
