"""Codes that the victim has given for pictures already, so that none is judged twice."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from hashprobe.codes.packed import PackedCodes
from hashprobe.tensors import Logits
from hashprobe.victims.base import Hasher


@dataclass(frozen=True, eq=False)
class Seen:
    """What one victim has given so far."""

    victim: Hasher
    codes: dict[bytes, UInt8[np.ndarray, " b"]] = field(default_factory=dict)
    """Packed codes by the marks of pictures."""


_seen: ContextVar[Seen | None] = ContextVar("seen", default=None)


@contextmanager
def remembering(victim: Hasher) -> Iterator[None]:
    """Keeps what `remember` is told of a victim in the block, and forgets it at its end."""
    token = _seen.set(Seen(victim))
    try:
        yield
    finally:
        _seen.reset(token)


def remember(asked: Hasher, pixels: Float[Tensor, "n 3 h w"], logits: Logits) -> None:
    """Notes the codes of pictures as a victim gave them in float32, if anyone wants those of it.

    An attack may ask other networks, too: what these give is not noted.
    """
    seen = _seen.get()
    if seen is not None and asked is seen.victim:
        seen.codes.update(zip(marks(pixels), PackedCodes.from_logits(logits).data, strict=True))


def recall(
    victim: Hasher, pixels: Float[Tensor, "n 3 h w"]
) -> list[UInt8[np.ndarray, " b"] | None]:
    """The packed codes of pictures that were noted of a victim; None for others.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> victim, images = ImageHasher("small", 2), torch.rand(2, 3, 4, 4)
        >>> with remembering(victim):
        ...     remember(victim, images[:1], torch.tensor([[1.0, -1.0]]))
        ...     recall(victim, images)
        [array([128], dtype=uint8), None]
    """
    seen = _seen.get()
    if seen is None or victim is not seen.victim or not seen.codes:
        return [None] * len(pixels)
    return [seen.codes.get(mark) for mark in marks(pixels)]


def marks(pixels: Tensor) -> list[bytes]:
    """What tells pictures apart: a digest of every value."""
    rows = pixels.detach().cpu().contiguous().numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
