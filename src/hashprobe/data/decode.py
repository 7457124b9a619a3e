"""From a split to 8-bit pixels of the size that a network expects, in worker processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hashprobe.data.split import ArraySource, BadImage, Split
from hashprobe.environment import cores
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images8
from hashprobe.types import InputContract


Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""


def fit_image(image: UInt8[Tensor, "3 h w"], contract: InputContract) -> UInt8[Tensor, "3 s s"]:
    """One picture at the size of the contract, by its filter and fit, with antialiasing.

    Args:
        image: (3, H, W) RGB in 0..255.
        contract: size, filter and fit.

    Returns:
        (3, size, size) in 0..255; the picture itself when it has that size already.

    Example:
        >>> fit_image(torch.zeros(3, 20, 10, dtype=torch.uint8), InputContract(size=8)).shape
        torch.Size([3, 8, 8])
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    size = contract.size
    if image.shape[-2:] == (size, size):
        return image
    shape = [size, size] if contract.fit == "squash" else [size]
    mode = InterpolationMode(contract.filter)
    resized: Tensor = F.resize(image, shape, interpolation=mode, antialias=True)
    return F.center_crop(resized, [size, size]) if contract.fit == "crop" else resized


@dataclass(frozen=True)
class Batch:
    """Some decoded items of a split.

    Example:
        >>> Batch(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([4])).positions
        array([4])
    """

    images: Images8
    """(N, 3, size, size) in 0..255."""
    positions: Int64[np.ndarray, " n"]
    """Positions of the items in the split."""


class Decoded(Dataset[tuple[int, Tensor | BadImage]]):
    """Items of a split at the contract's size; an image that cannot be had is its BadImage."""

    def __init__(self, split: Split, contract: InputContract) -> None:
        self.split = split
        self.contract = contract

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, position: int) -> tuple[int, Tensor | BadImage]:
        try:
            return position, fit_image(self.split.source.read(position), self.contract)
        except BadImage as bad:
            return position, bad


def collate(
    items: list[tuple[int, Tensor | BadImage]],
) -> tuple[list[int], Tensor | None, list[BadImage]]:
    """Positions and pixels of the good items, and the bad ones."""
    good = [(p, image) for p, image in items if isinstance(image, Tensor)]
    bad = [image for _, image in items if isinstance(image, BadImage)]
    pixels = torch.stack([image for _, image in good]) if good else None
    return [p for p, _ in good], pixels, bad


def one_thread(_: int) -> None:
    """Workers share the cores among themselves already."""
    torch.set_num_threads(1)


def stream(
    split: Split,
    contract: InputContract,
    *,
    batch_size: int = 256,
    workers: int | None = None,
    skip_bad: bool = False,
    rest: bool = False,
    on_progress: Progress | None = None,
    on_bad: Callable[[BadImage], None] | None = None,
) -> Iterator[Batch]:
    """Decode a split batch by batch, in order and in constant memory.

    Args:
        split: N items.
        contract: size, filter and fit of the pixels.
        batch_size: items a batch, at most.
        workers: decoding processes; by default one a core for files and none for arrays.
        skip_bad: go on without images that cannot be had.
        rest: the split is what is left of a larger one, and may be bad as a whole under `skip_bad`.
        on_progress: called with (items done, N) after each batch.
        on_bad: called with each image that cannot be had.

    Yields:
        Batches of (n, 3, size, size) 8-bit pixels with their positions.

    Raises:
        HashprobeError: after the last batch, when images were bad and `skip_bad` is off: it names
            the first and counts the others; or at once when the split is empty or nothing is left.

    Example:
        >>> from hashprobe.data import load_digits
        >>> next(stream(load_digits().query, InputContract(size=8), batch_size=4)).images.shape
        torch.Size([4, 3, 8, 8])
    """
    if not len(split):
        raise HashprobeError("a split without items cannot be decoded")
    if batch_size < 1 or (workers is not None and workers < 0):
        raise HashprobeError(
            f"decoding needs batches of at least 1 and no negative number of workers; got "
            f"{batch_size} and {workers}"
        )
    if workers is None:
        workers = 0 if isinstance(split.source, ArraySource) else cores()
    loader = DataLoader(
        Decoded(split, contract),
        batch_size=batch_size,
        num_workers=min(workers, -(-len(split) // batch_size)),
        collate_fn=collate,
        worker_init_fn=one_thread,
    )
    done = 0
    failures: list[BadImage] = []
    for positions, pixels, bad in loader:
        failures += bad
        for failure in bad if on_bad else []:
            assert on_bad is not None
            on_bad(failure)
        done += len(positions) + len(bad)
        if pixels is not None:
            yield Batch(pixels, np.array(positions, dtype=np.int64))
        if on_progress:
            on_progress(done, len(split))
    nothing = len(failures) == len(split) and not rest
    if failures and (not skip_bad or nothing):
        more = len(failures) - 1
        others = f"; {more} other images are bad too" if more else "; no other image is bad"
        hint = "" if len(failures) == len(split) else " (--skip-bad goes on without them)"
        raise HashprobeError(f"{failures[0]}{others}{hint}")


@dataclass(frozen=True)
class Pixels:
    """A split decoded as a whole.

    Example:
        >>> Pixels(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([0]), ()).bad
        ()
    """

    images: Images8
    """(M, 3, size, size) in 0..255, in memory or mapped from a file."""
    positions: Int64[np.ndarray, " m"]
    """Positions in the split of the M items that could be decoded."""
    bad: tuple[str, ...]
    """What was wrong with each of the others."""


def decode(
    split: Split,
    contract: InputContract,
    *,
    workers: int | None = None,
    skip_bad: bool = False,
    on_progress: Progress | None = None,
    into: Path | None = None,
) -> Pixels:
    """Decode a whole split once, so that it can be read in any order afterwards.

    Args:
        split: N items.
        contract: size, filter and fit of the pixels.
        workers: decoding processes; by default one a core for files and none for arrays.
        skip_bad: go on without images that cannot be had.
        on_progress: called with (items done, N).
        into: an .npy file to hold the pixels, mapped into memory, for more than fits in it.

    Raises:
        HashprobeError: images are bad and `skip_bad` is off.

    Example:
        >>> from hashprobe.data import load_digits
        >>> decode(load_digits().query, InputContract(size=8)).images.shape
        torch.Size([200, 3, 8, 8])
    """
    shape = (len(split), 3, contract.size, contract.size)
    if into is None:
        store = np.empty(shape, dtype=np.uint8)
    else:
        into.parent.mkdir(parents=True, exist_ok=True)
        store = np.lib.format.open_memmap(into, mode="w+", dtype=np.uint8, shape=shape)
    kept: list[Int64[np.ndarray, " n"]] = []
    bad: list[str] = []
    filled = 0
    for batch in stream(
        split,
        contract,
        workers=workers,
        skip_bad=skip_bad,
        on_progress=on_progress,
        on_bad=lambda failure: bad.append(str(failure)),
    ):
        store[filled : filled + len(batch.positions)] = batch.images.numpy()
        filled += len(batch.positions)
        kept.append(batch.positions)
    return Pixels(torch.from_numpy(store[:filled]), np.concatenate(kept), tuple(bad))
