"""What a hash layer is given: the features that a code is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from hashprobe.checked import checked
from hashprobe.victims.backbones import last_linear
from hashprobe.victims.base import Hasher


@checked
@contextmanager
def hash_layer_input(hasher: Hasher) -> Iterator[list[Float[Tensor, "n f"]]]:
    """Collects what the hash layer is given in the passes inside the block, one entry a pass.

    The hash layer is the last layer with learnt outputs, linear or convolutional; what follows it
    (batch normalisation) plays no part.

    Args:
        hasher: any hasher; left as it was.

    Returns:
        A list that fills with (N, F) features, still part of the graph.

    Raises:
        HashprobeError: the hasher has no linear or convolutional layer.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> hasher = ImageHasher("small", 16).eval()
        >>> with hash_layer_input(hasher) as seen:
        ...     _ = hasher(torch.rand(2, 3, 32, 32))
        >>> seen[0].shape
        torch.Size([2, 256])
    """
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].flatten(1))

    handle = last_linear(hasher)[1].register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
