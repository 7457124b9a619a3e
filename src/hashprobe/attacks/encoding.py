"""Images to codes as they are judged: float32, whatever was set for speed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from hashprobe.attacks.passes import untouched
from hashprobe.codes import PackedCodes
from hashprobe.models.hasher import Hasher
from hashprobe.tensors import Images


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
        >>> from hashprobe.models import ImageHasher
        >>> encode(ImageHasher("small", 16), torch.rand(2, 3, 32, 32)).bits
        16
    """
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )
    autocast = torch.autocast(images.device.type, enabled=False)
    with untouched(hasher), torch.no_grad(), autocast, exact:
        more = () if lengths is None else (lengths,)
        return PackedCodes.from_logits(hasher(images, *more))
