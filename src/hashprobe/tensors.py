"""Tensor aliases: N items, T frames, H x W pixels, K bits.

Importing them does not import torch, so that options and help texts are there at once.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from jaxtyping import Bool, Float, Int64, UInt8


if TYPE_CHECKING:
    from torch import Tensor as Tensor
else:
    Tensor = Any  # jaxtyping checks dtype and shape of whatever is given


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
TargetSets: TypeAlias = Float[Tensor, "n *s k"]
"""The same, one a query or several, (N, S, K)."""
Pixels: TypeAlias = Float[Tensor, "n *t 3 h w"] | UInt8[Tensor, "n *t 3 h w"]
"""RGB pixels of images or clips, in [0, 1] or in 0..255."""
Lengths: TypeAlias = Int64[Tensor, " n"]
"""Frames of each clip, from 1 on."""
Frames: TypeAlias = Bool[Tensor, "n t"]
"""A choice among the frames of clips."""
