"""Tensor aliases: N items, T frames, H x W pixels, K bits."""

from typing import TypeAlias

from jaxtyping import Float, UInt8
from torch import Tensor


Images: TypeAlias = Float[Tensor, "n *t 3 h w"]
"""RGB pixels in [0, 1]: of images (N, 3, H, W), or of clips (N, T, 3, H, W)."""
Clips: TypeAlias = Float[Tensor, "n t 3 h w"]
"""RGB frames in [0, 1], zeros or anything beyond a clip's own length."""
Images8: TypeAlias = UInt8[Tensor, "n *t 3 h w"]
"""RGB pixels in 0..255, as they can be saved; of images or clips."""
Logits: TypeAlias = Float[Tensor, "n k"]
"""Real outputs of a hasher; the code is their sign."""
Targets: TypeAlias = Float[Tensor, "n k"]
"""Target codes with entries -1 and +1, in a floating dtype."""
