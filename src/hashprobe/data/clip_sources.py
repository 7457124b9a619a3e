"""Sources of clips: in memory, video files, folders of frames."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from hashprobe.data.file_digests import file_digest
from hashprobe.data.sources import BadImage, FileSource
from hashprobe.data.videos import check_extra, read_video
from hashprobe.data.walk import is_image
from hashprobe.errors import HashprobeError
from hashprobe.text import name_bytes


LIMIT = 40
"""Frames of a clip at most; source: the DHTA paper (Bai et al., ECCV 2020), the experiments."""


def check_rule(stride: int, limit: int) -> None:
    """Refuses a stride or a limit below 1."""
    if stride < 1 or limit < 1:
        raise HashprobeError(
            f"stride and limit of the frames of a clip must be at least 1; got {stride} and {limit}"
        )


@dataclass(frozen=True)
class ClipArraySource:
    """Clips in memory, each at its own length and size.

    Args:
        clips: N clips (T, 3, H, W) in 0..255, T >= 1.
        stride: every stride-th frame is kept.
        limit: most frames that are kept.

    Raises:
        HashprobeError: a clip without frames, or a stride or limit below 1.

    Example:
        >>> clips = [torch.zeros(t, 3, 8, 8, dtype=torch.uint8) for t in (5, 90)]
        >>> source = ClipArraySource(tuple(clips), stride=3)
        >>> [len(source.read(i)) for i in range(2)]
        [2, 30]
    """

    clips: tuple[UInt8[Tensor, "_ 3 _ _"], ...]
    stride: int = 1
    limit: int = LIMIT

    def __post_init__(self) -> None:
        check_rule(self.stride, self.limit)
        for position, clip in enumerate(self.clips):
            if not len(clip):
                raise HashprobeError(f"clip {position} has no frames")

    @classmethod
    def padded(
        cls,
        clips: UInt8[Tensor, "n t 3 h w"],
        lengths: Int64[Tensor, " n"],
        stride: int = 1,
        limit: int = LIMIT,
    ) -> "ClipArraySource":
        """Clips in one padded array; `lengths` says how many frames of each are its own.

        Example:
            >>> clips = torch.zeros(2, 9, 3, 8, 8, dtype=torch.uint8)
            >>> len(ClipArraySource.padded(clips, torch.tensor([9, 4])).read(1))
            4
        """
        parts = (clip[:length] for clip, length in zip(clips, lengths.tolist(), strict=True))
        return cls(tuple(parts), stride, limit)

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, position: int) -> UInt8[Tensor, "t 3 h w"]:
        """The clip's frames."""
        return self.clips[position][:: self.stride][: self.limit]

    def fingerprint(self, position: int) -> bytes:
        """A digest of the clip's pixels."""
        clip = self.clips[position]
        digest = hashlib.blake2b(str(tuple(clip.shape)).encode(), digest_size=16)
        digest.update(clip.contiguous().numpy().tobytes())
        return digest.digest()

    def take(self, positions: tuple[int, ...]) -> "ClipArraySource":
        """The clips at some positions, in that order."""
        return ClipArraySource(tuple(self.clips[p] for p in positions), self.stride, self.limit)


@dataclass(frozen=True)
class VideoFileSource:
    """Video files below a folder, decoded on demand (`read_video`).

    Args:
        root: the folder.
        paths: N files, from the root.
        stride: every stride-th frame is kept.
        limit: most frames that are kept.

    Raises:
        HashprobeError: a stride or limit below 1, or PyAV is not installed.

    Example:
        >>> VideoFileSource(Path("clips"), ("run/1.avi", "sit/2.avi"), stride=3).paths[0]
        'run/1.avi'
    """

    root: Path
    paths: tuple[str, ...]
    stride: int = 1
    limit: int = LIMIT

    def __post_init__(self) -> None:
        check_rule(self.stride, self.limit)
        check_extra()

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, position: int) -> UInt8[Tensor, "t 3 h w"]:
        """Decode one file.

        Raises:
            BadImage: the file is missing, no video, empty, cut off or damaged.
        """
        return read_video(self.root / self.paths[position], self.stride, self.limit)

    def fingerprint(self, position: int) -> bytes:
        """A digest of the file's size and both ends, or of its name if it cannot be read.

        An index of all frames often stands at the end.
        """
        return file_digest(self.root / self.paths[position], tail=True)

    def take(self, positions: tuple[int, ...]) -> "VideoFileSource":
        """The clips at some positions, in that order."""
        paths = tuple(self.paths[p] for p in positions)
        return VideoFileSource(self.root, paths, self.stride, self.limit)


@dataclass(frozen=True)
class FrameFolderSource:
    """Clips that are folders of pictures, in the order of their names.

    Numbers in names count as numbers: 2.png comes before 10.png.

    Args:
        root: the folder of all clips.
        paths: N folders, from the root.
        stride: every stride-th picture is kept.
        limit: most pictures that are kept.

    Raises:
        HashprobeError: a stride or limit below 1.

    Example:
        >>> FrameFolderSource(Path("clips"), ("run/1", "sit/2")).limit
        40
    """

    root: Path
    paths: tuple[str, ...]
    stride: int = 1
    limit: int = LIMIT

    def __post_init__(self) -> None:
        check_rule(self.stride, self.limit)

    def __len__(self) -> int:
        return len(self.paths)

    def frames(self, position: int) -> list[Path]:
        """The pictures of a clip, in order.

        Raises:
            BadImage: there is no such folder, or it holds no pictures.
        """
        folder = self.root / self.paths[position]
        if not folder.is_dir():
            raise BadImage(str(folder), "no such folder")
        found = [path for path in folder.iterdir() if is_image(path)]
        if not found:
            raise BadImage(str(folder), "holds no pictures")
        return sorted(found, key=lambda path: by_number(path.name))

    def read(self, position: int) -> UInt8[Tensor, "t 3 h w"]:
        """Decode the pictures of one clip.

        Raises:
            BadImage: the folder is missing or empty, a picture is bad, or their sizes differ.
        """
        chosen = self.frames(position)[:: self.stride][: self.limit]
        pictures = FileSource(chosen[0].parent, tuple(path.name for path in chosen))
        frames = [pictures.read(i) for i in range(len(pictures))]
        for frame, path in zip(frames, chosen, strict=True):
            if frame.shape != frames[0].shape:
                raise BadImage(str(path), f"has another size than {chosen[0].name}")
        return torch.stack(frames)

    def fingerprint(self, position: int) -> bytes:
        """A digest of the pictures' sizes on the disk, and of the first and the last of them."""
        digest = hashlib.blake2b(digest_size=16)
        try:
            frames = self.frames(position)
            for path in frames:
                digest.update(path.stat().st_size.to_bytes(8, "little"))
            for path in (frames[0], frames[-1]):
                digest.update(FileSource(path.parent, (path.name,)).fingerprint(0))
        except (BadImage, OSError):
            digest.update(name_bytes(str(self.root / self.paths[position])))
        return digest.digest()

    def take(self, positions: tuple[int, ...]) -> "FrameFolderSource":
        """The clips at some positions, in that order."""
        paths = tuple(self.paths[p] for p in positions)
        return FrameFolderSource(self.root, paths, self.stride, self.limit)


def by_number(name: str) -> list[tuple[int, str]]:
    """A sorting key that compares numbers in names as numbers."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(p), p) if p.isascii() and p.isdigit() else (-1, p) for p in pieces]
