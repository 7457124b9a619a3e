"""Tensor aliases: N items, H x W pixels, K bits."""

from typing import TypeAlias

from jaxtyping import Float, UInt8
from torch import Tensor


Images: TypeAlias = Float[Tensor, "n 3 h w"]
"""RGB pixels in [0, 1]."""
Images8: TypeAlias = UInt8[Tensor, "n 3 h w"]
"""RGB pixels in 0..255, as they can be saved."""
Logits: TypeAlias = Float[Tensor, "n k"]
"""Real outputs of a hasher; the code is their sign."""
Targets: TypeAlias = Float[Tensor, "n k"]
"""Target codes with entries -1 and +1, in a floating dtype."""
