"""Images to codes as they are judged: float32, whatever was set for speed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int64
from torch import Tensor

from hashprobe.codes.packed import PackedCodes
from hashprobe.optim.problem import SomeFrames, call, seen_by
from hashprobe.tensors import Images
from hashprobe.victims.base import Hasher, untouched
from hashprobe.victims.clip import FramewiseHasher, own_frames


def encode(
    hasher: Hasher, images: Images, lengths: Int64[Tensor, " n"] | None = None
) -> PackedCodes:
    """Codes by the hard sign, in evaluation mode and in float32.

    Autocast is off, and so are the TF32 convolutions that PyTorch uses on NVIDIA by default: their
    10 bits can turn over a bit whose logit is near 0.

    Args:
        hasher: any hasher, in any mode; left as it was.
        images: (N, 3, H, W) or (N, T, 3, H, W) in [0, 1], on the device of the hasher.
        lengths: (N,) frames of each clip; None for images.

    Returns:
        N codes, on the CPU.

    Raises:
        HashprobeError: logits that are not numbers, or of another length than the hasher says.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> encode(ImageHasher("small", 16), torch.rand(2, 3, 32, 32)).bits
        16
    """
    with judging(hasher, images.device):
        more = () if lengths is None else (lengths,)
        return PackedCodes.from_logits(hasher(images, *more))


def encode_both(
    hasher: Hasher,
    images: Images,
    moved: Images,
    lengths: Int64[Tensor, " n"] | None = None,
) -> tuple[PackedCodes, PackedCodes]:
    """Codes of queries and of what became of them, as `encode` has them.

    A `FramewiseHasher` looks only once at the frames of a clip that did not change.

    Args:
        hasher: any hasher, in any mode; left as it was.
        images: (N, 3, H, W) or (N, T, 3, H, W) in [0, 1], on the device of the hasher.
        moved: the same shape.
        lengths: (N,) frames of each clip; None for images.

    Returns:
        N codes and N codes, on the CPU.

    Raises:
        HashprobeError: as `encode`.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> images = torch.rand(2, 3, 32, 32)
        >>> clean, moved = encode_both(ImageHasher("small", 16), images, 0 * images)
        >>> clean.bits, len(moved)
        (16, 2)
    """
    if lengths is None or not isinstance(hasher, FramewiseHasher):
        return encode(hasher, images, lengths), encode(hasher, moved, lengths)
    with judging(hasher, images.device):
        own = own_frames(images, lengths)
        features, forward = seen_by(hasher, images, own)
        changed = own & (images != moved).flatten(2).any(2)
        some = SomeFrames(moved, lengths, changed, features)
        rows = torch.arange(len(moved), device=moved.device)
        logits = call(hasher, some, rows, some.pixels)
        return PackedCodes.from_logits(forward(features)), PackedCodes.from_logits(logits)


@contextmanager
def judging(hasher: Hasher, device: torch.device) -> Iterator[None]:
    """Lends a hasher to be judged: no gradients, nothing that was set for speed."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )
    autocast = torch.autocast(device.type, enabled=False)
    with untouched(hasher), torch.no_grad(), autocast, exact:
        yield
