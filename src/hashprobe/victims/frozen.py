"""The hash layer of an image network alone, and the features that it is given."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images8, Logits
from hashprobe.victims.backbones import last_linear
from hashprobe.victims.base import Hasher, frozen_eval
from hashprobe.victims.features import hash_layer_input
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.memory import fitting, measured_bytes


class HeadHasher(Hasher):
    """The hash layer of an image network, to be trained on features that are computed once.

    It shares its weights with the hasher that it is made of.

    Args:
        hasher: the whole network; its last layer must be a linear one.

    Raises:
        HashprobeError: it ends in a convolution.

    Example:
        >>> hasher = ImageHasher("small", 16, size=16).eval()
        >>> images8 = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
        >>> HeadHasher(hasher)(image_features(hasher, images8)).shape
        torch.Size([2, 16])
    """

    def __init__(self, hasher: ImageHasher) -> None:
        super().__init__(hasher.bits, hasher.contract)
        self.head = hash_layer_of(hasher)

    def forward(self, features: Float[Tensor, "n f"]) -> Logits:
        """Logits of images by what the hash layer is given."""
        logits: Tensor = self.head(features)
        return logits


def hash_layer_of(hasher: ImageHasher) -> nn.Module:
    """The last linear layer, with the batch normalisation of its outputs where there is one."""
    name, layer = last_linear(hasher)
    if not isinstance(layer, nn.Linear):
        raise HashprobeError(
            f"backbone {hasher.backbone} ends in a convolution, whose inputs are no features of "
            "whole pictures: leave frozen, or take a backbone that ends in a linear layer"
        )
    parent = hasher.get_submodule(name.rpartition(".")[0])
    if isinstance(parent, nn.Sequential) and len(parent) == 2 and hasher.batch_norm:
        return parent if isinstance(parent[1], nn.BatchNorm1d) else layer
    return layer


@torch.no_grad()
def image_features(
    hasher: ImageHasher, images8: Images8, on_progress: Callable[[int, int], None] | None = None
) -> Float[Tensor, "n f"]:
    """What the hash layer is given for some images, in evaluation mode.

    Args:
        hasher: the network, left as it was.
        images8: (N, 3, size, size) 8-bit pixels.
        on_progress: called with (images done, N).

    Returns:
        (N, F), on the device of the images.

    Example:
        >>> hasher = ImageHasher("small", 16, size=16)
        >>> image_features(hasher, torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape
        torch.Size([2, 256])
    """
    kept: list[Tensor] = []
    with frozen_eval(hasher):
        step = fitting(measured_bytes(hasher, ready(hasher, images8[:1])), hasher.mean.device)
        for start in range(0, len(images8), step):
            some = images8[start : start + step]
            with hash_layer_input(hasher) as seen:
                hasher(ready(hasher, some))
            kept.append(seen[-1].to(images8.device))
            if on_progress is not None:
                on_progress(start + len(some), len(images8))
    return torch.cat(kept)


def ready(hasher: ImageHasher, images8: Images8) -> Tensor:
    """8-bit pixels as the network takes them, on its device."""
    return images8.to(hasher.mean.device).float().div_(255)
