"""A split: named images or clips, where their pixels come from, and their labels."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from hashprobe.data.damage import Undecodable
from hashprobe.data.decoding import decode_picture
from hashprobe.data.file_digests import FileDigests, file_digest
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


class BadImage(HashprobeError):
    """One image or clip that cannot be decoded: its name and why.

    Example:
        >>> print(BadImage("cat/7.jpg", "no such file"))
        cat/7.jpg: no such file
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadImage"], tuple[str, str]]:
        return (BadImage, (self.name, self.reason))


@runtime_checkable
class Source(Protocol):
    """Where the pixels of a split come from: images by position, at their own size.

    Example:
        >>> source: Source = ArraySource(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        >>> len(source), source.read(1).shape
        (2, torch.Size([3, 8, 8]))
    """

    def __len__(self) -> int: ...

    def read(self, position: int) -> UInt8[Tensor, "3 h w"]:
        """RGB pixels of one item; raises BadImage if it cannot be decoded."""
        ...

    def fingerprint(self, position: int) -> bytes:
        """A digest of the item's content, equal for equal content."""
        ...


@runtime_checkable
class ClipSource(Protocol):
    """Where the clips of a split come from: by position, at their own size and length.

    Every `stride`-th frame from the first on is read, `limit` of them at most.
    """

    @property
    def stride(self) -> int: ...

    @property
    def limit(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, position: int) -> UInt8[Tensor, "t 3 h w"]:
        """RGB frames of one clip, at least one; raises BadImage if it cannot be decoded."""
        ...

    def fingerprint(self, position: int) -> bytes:
        """A digest of the clip's content, equal for equal content."""
        ...

    def take(self, positions: tuple[int, ...]) -> "ClipSource":
        """The clips at some positions, in that order."""
        ...


@dataclass(frozen=True)
class ArraySource:
    """Images in memory.

    Example:
        >>> ArraySource(torch.zeros(5, 3, 8, 8, dtype=torch.uint8)).read(0).dtype
        torch.uint8
    """

    pixels: UInt8[Tensor, "n 3 h w"]

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, position: int) -> UInt8[Tensor, "3 h w"]:
        """The item's pixels."""
        return self.pixels[position]

    def fingerprint(self, position: int) -> bytes:
        """A digest of the item's pixels."""
        return hashlib.blake2b(self.pixels[position].numpy().tobytes(), digest_size=16).digest()

    def take(self, positions: tuple[int, ...]) -> "ArraySource":
        """The images at some positions, in that order."""
        return ArraySource(self.pixels[torch.tensor(positions, dtype=torch.long)])


@dataclass(frozen=True)
class FileSource:
    """Image files below a folder, decoded on demand (JPEG, PNG, WebP, the first frame of a GIF).

    Example:
        >>> FileSource(Path("pictures"), ("cat/1.jpg", "dog/2.jpg")).paths[0]
        'cat/1.jpg'
    """

    root: Path
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, position: int) -> UInt8[Tensor, "3 h w"]:
        """Decode one file to RGB, turned upright by its EXIF data (`decode_picture`).

        Raises:
            BadImage: the file is missing, no regular file, too large, damaged or no image.
        """
        # Strings and not paths, which take longer than a small picture's pixels.
        path = os.path.join(self.root, self.paths[position])
        try:
            return decode_picture(path)
        except Undecodable as error:
            raise BadImage(str(Path(path)), str(error)) from None

    def fingerprint(self, position: int) -> bytes:
        """A digest of the file's size and first 64 KiB; or of its name if it cannot be read."""
        return file_digest(os.path.join(self.root, self.paths[position]))

    def take(self, positions: tuple[int, ...]) -> "FileSource":
        """The images at some positions, in that order."""
        return FileSource(self.root, tuple(map(self.paths.__getitem__, positions)))


@dataclass(frozen=True)
class Part:
    """Some images of another source, in a given order."""

    whole: Source
    positions: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, position: int) -> UInt8[Tensor, "3 h w"]:
        """The item's pixels."""
        return self.whole.read(self.positions[position])

    def fingerprint(self, position: int) -> bytes:
        """A digest of the item's content."""
        return self.whole.fingerprint(self.positions[position])


@dataclass(frozen=True)
class Split:
    """Query, training or database items: ids, a source of images or clips, and multi-hot labels.

    Args:
        ids: N names, one an item.
        source: N images or clips, by position.
        labels: (N, C) bool.

    Raises:
        HashprobeError: ids, source and labels of different lengths.

    Example:
        >>> images = ArraySource(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        >>> split = Split(("a", "b"), images, np.eye(2, dtype=bool))
        >>> len(split), split.take([1]).ids
        (2, ('b',))
    """

    ids: tuple[str, ...]
    source: Source | ClipSource
    labels: Labels

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.source) == len(self.labels):
            raise HashprobeError(
                f"a split needs one id, image and label each; got {len(self.ids)} ids, "
                f"{len(self.source)} images and {len(self.labels)} labels"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def video(self) -> bool:
        """Whether the items are clips."""
        return isinstance(self.source, ClipSource)

    def take(self, positions: Sequence[int] | Int64[np.ndarray, " m"]) -> "Split":
        """The items at some positions, in that order.

        Args:
            positions: M integers from 0 to N - 1.
        """
        where = tuple(np.asarray(positions, dtype=np.int64).tolist())
        if isinstance(self.source, ArraySource | FileSource | ClipSource):
            source: Source | ClipSource = self.source.take(where)
        else:
            source = Part(self.source, where)
        return Split(
            tuple(map(self.ids.__getitem__, where)),
            source,
            self.labels[np.array(where, dtype=np.int64)],
        )

    def digests(self, known: FileDigests | None = None) -> list[bytes]:
        """A digest of each item's content, in order.

        Args:
            known: of files, so that those that several splits share are read once.
        """
        if known is None or not isinstance(self.source, FileSource):
            return [self.source.fingerprint(i) for i in range(len(self))]
        # Strings and not paths: there may be millions of files.
        root = os.path.join(self.source.root, "")
        return known.of([root + name for name in self.source.paths])


def join(first: Split, second: Split) -> Split:
    """Both splits as one; both have sources of the same kind."""
    ids = first.ids + second.ids
    labels = np.concatenate([first.labels, second.labels])
    if isinstance(first.source, FileSource) and isinstance(second.source, FileSource):
        paths = first.source.paths + second.source.paths
        return Split(ids, FileSource(first.source.root, paths), labels)
    assert isinstance(first.source, ArraySource) and isinstance(second.source, ArraySource)
    return Split(ids, ArraySource(torch.cat([first.source.pixels, second.source.pixels])), labels)
