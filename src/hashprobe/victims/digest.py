"""The checksum of a network's weights, under which results are kept."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from hashprobe.errors import HashprobeError


def sha256_weights(network: nn.Module) -> str:
    """The SHA-256 of a network's weights and buffers, whatever device they are on.

    Args:
        network: a victim, or any other network.

    Raises:
        HashprobeError: its state holds something that is neither a tensor nor a constant.

    Example:
        >>> sha256_weights(nn.Identity())[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        for place, one in parts_of(value, name):
            if isinstance(one, torch.Tensor):
                update(digest, place, one)
            else:
                digest.update(f"{place} {one!r}".encode())
    return digest.hexdigest()


def parts_of(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The tensors and constants of one entry of a state dict, which holds others if quantised.

    Raises:
        HashprobeError: an entry of another type.
    """
    if isinstance(value, tuple | list):
        for place, each in enumerate(value):
            yield from parts_of(each, f"{name}.{place}")
    elif isinstance(value, torch.Tensor):
        if value.is_quantized:
            yield f"{name}.dtype", value.dtype
            value = value.dequantize()
        yield name, value
    elif value is None or isinstance(value, bool | int | float | str | bytes | torch.dtype):
        yield name, value
    else:
        raise HashprobeError(
            f"entry {name} of the victim's state is a {type(value).__name__}, not a tensor: let "
            "get_extra_state return tensors or numbers, so that results can be kept under it"
        )


def update(digest: Any, name: str, tensor: torch.Tensor) -> None:
    """Adds a tensor to a digest."""
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
