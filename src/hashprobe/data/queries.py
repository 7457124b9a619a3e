"""Queries: pixels with the ids, lengths and labels that belong to them, and what ids decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Integer

from hashprobe.checked import checked, shown
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Frames, Images, Images8, Lengths, Tensor
from hashprobe.types import Labels, check_seed


QueryIds: TypeAlias = Sequence[int] | Integer[np.ndarray, " q"]
"""Whole numbers from 0; with the seed they decide what is drawn for a query."""

LABEL_STREAM, MEMBER_STREAM, NOISE_STREAM, START_STREAM = range(4)
"""Purposes of chance; every restart has a stream of its own, from START_STREAM + 1 on."""


@checked
@dataclass(frozen=True, eq=False)
class Queries:
    """N images or clips with what belongs to them.

    Raises:
        HashprobeError: another number of ids, lengths or labels than of queries, clips without
            lengths, images with them, or lengths out of range.

    Example:
        >>> import torch
        >>> clips = Queries(torch.zeros(2, 4, 3, 8, 8), lengths=torch.tensor([4, 2]))
        >>> clips.own.int().tolist()
        [[1, 1, 1, 1], [1, 1, 0, 0]]
    """

    pixels: Images | Images8
    """Images (N, 3, H, W) or clips (N, T, 3, H, W): floating in [0, 1], or uint8."""
    ids: tuple[int, ...] = ()
    """N whole numbers from 0; by default 0 to N - 1."""
    lengths: Lengths | None = None
    """(N,) frames of each clip, from 1 to T; None for images."""
    labels: Labels | None = None
    """(N, C) multi-hot labels of the queries themselves; None where they are not known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", checked_ids(self.ids or None, len(self.pixels)))
        check_lengths(self.pixels, self.lengths)
        if self.labels is not None and len(self.labels) != len(self.pixels):
            raise HashprobeError(f"{len(self.labels)} labels for {len(self.pixels)} queries")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def clips(self) -> bool:
        """Whether these are clips."""
        return self.lengths is not None

    @property
    def own(self) -> Frames:
        """(N, T) which frames are a clip's own, and not padding."""
        return own_frames(self.pixels, self.lengths)

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What a hasher is called with: the pixels and, of clips, their lengths."""
        return (self.pixels,) if self.lengths is None else (self.pixels, self.lengths)

    def take(self, rows: Any) -> "Queries":
        """Some of the queries: rows are a list, a slice, or an index tensor."""
        places = picked(rows, len(self))
        return Queries(
            self.pixels[rows],
            tuple(self.ids[place] for place in places),
            None if self.lengths is None else self.lengths[rows],
            None if self.labels is None else self.labels[places],
        )

    def laid_out(self, layout: Any) -> "Queries":
        """The same with copies of the pixels, in a memory format of torch."""
        pixels = self.pixels.detach().clone(memory_format=layout)
        return Queries(pixels, self.ids, self.lengths, self.labels)

    def on(self, device: Any) -> "Queries":
        """The same with pixels in float32 in [0, 1] and lengths, both on a device."""
        pixels = self.pixels.to(device)
        if not pixels.is_floating_point():
            pixels = pixels.float() / 255
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Queries(pixels, self.ids, lengths, self.labels)


def picked(rows: Any, count: int) -> Integer[np.ndarray, " m"]:
    """The places of some of so many queries: rows are a list, a slice, or an index array."""
    try:
        index = rows.cpu().numpy() if hasattr(rows, "cpu") else rows
        index = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(index, np.ndarray) and not index.size:
            index = index.astype(np.int64)
        places: np.ndarray = np.arange(count)[index]
    except (
        AttributeError,
        IndexError,
        TypeError,
        ValueError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise HashprobeError(
            f"rows must be places among {count} queries; got {shown(rows)}"
        ) from error
    if places.ndim != 1:
        raise HashprobeError(f"rows must be a list, a slice or an index; got {shown(rows)}")
    return places


def own_frames(pixels: Tensor, lengths: Lengths | None) -> Frames:
    """Which frames of clips (N, T, ...) are their own; all of them without lengths."""
    import torch

    count = pixels.shape[1]
    if lengths is None:
        return torch.ones(len(pixels), count, dtype=torch.bool, device=pixels.device)
    return torch.arange(count, device=pixels.device) < lengths.to(pixels.device).unsqueeze(1)


def check_lengths(pixels: Tensor, lengths: Lengths | None) -> None:
    """Refuses clips without lengths, images with them, and lengths out of range."""
    if pixels.ndim not in (4, 5):
        shape = tuple(pixels.shape)
        raise HashprobeError(
            f"images must have shape (N, 3, H, W), clips (N, T, 3, H, W); got {shape}"
        )
    if (pixels.ndim == 5) != (lengths is not None):
        missing = (
            "clips need their lengths" if lengths is None else "images have no lengths: only clips"
        )
        raise HashprobeError(missing)
    if lengths is not None:
        n, most = pixels.shape[:2]
        if lengths.shape != (n,) or not ((lengths >= 1) & (lengths <= most)).all():
            raise HashprobeError(f"lengths must be one for each of {n} clips, from 1 to {most}")


def checked_ids(query_ids: QueryIds | None, n: int) -> tuple[int, ...]:
    """The ids of n queries, by default 0 to n - 1.

    Raises:
        HashprobeError: another number of ids than queries, or a negative one.
    """
    if query_ids is None:
        return tuple(range(n))
    try:
        ids = tuple(index(i) for i in query_ids)
    except (TypeError, RuntimeError) as error:
        raise HashprobeError(
            f"query ids must be whole numbers from 0; got {shown(query_ids)}"
        ) from error
    if len(ids) != n:
        raise HashprobeError(f"{len(ids)} query ids for {n} queries: give one id per query")
    if any(i < 0 for i in ids):
        raise HashprobeError(f"query ids must be 0 or above; got {min(ids)}")
    return ids


def seed_of(seed: int, query_id: int, stream: int) -> np.random.SeedSequence:
    """The source of chance for one purpose and one query, whatever is computed beside it.

    Raises:
        HashprobeError: a seed out of range.
    """
    return np.random.SeedSequence([check_seed(seed), query_id, stream])
