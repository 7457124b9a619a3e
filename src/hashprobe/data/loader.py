"""From a split to 8-bit pixels of the size that a network expects, in worker processes."""

import gc
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hashprobe.data.cache import ClipCache, clip_key
from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.damage import Undecodable
from hashprobe.data.decoding import jpeg_decoder, reasons
from hashprobe.data.fitting import fit_image
from hashprobe.data.sources import ArraySource, BadImage, ClipSource, FileSource, Split
from hashprobe.data.workers import LOOK_SECONDS, Whereabouts, watched
from hashprobe.errors import HashprobeError
from hashprobe.progress import Tick
from hashprobe.storage.environment import cores
from hashprobe.storage.files import regular_size
from hashprobe.storage.guards import refuse_special
from hashprobe.tensors import Images8
from hashprobe.types import InputContract, Runtime


BATCH = 256
"""Images, or frames of clips, of one batch where nothing else is asked for."""


@dataclass(frozen=True)
class Batch:
    """Some decoded items of a split.

    Example:
        >>> Batch(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([4])).positions
        array([4])
    """

    images: Images8
    """(N, 3, size, size), or (N, F, 3, size, size) with zeros after each clip's end, in 0..255;
    (N, 3, H, W) where the contract has size 0."""
    positions: Int64[np.ndarray, " n"]
    """Positions of the items in the split."""
    lengths: Int64[np.ndarray, " n"] | None = None
    """Frames of each clip before the padding; None for images."""


class Decoded(Dataset[tuple[int, Tensor | BadImage]]):
    """Items of a split at the contract's size; a BadImage for one that cannot be decoded."""

    def __init__(
        self, split: Split, contract: InputContract, cache: ClipCache | None, workers: int = 0
    ) -> None:
        self.split = split
        # Asking what a source is takes a third of the time of a small picture.
        self.clips = split.source if isinstance(split.source, ClipSource) else None
        self.contract = contract
        self.cache = cache
        self.where = Whereabouts(workers)
        self.fatal: set[int] = set()

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, position: int) -> tuple[int, Tensor | BadImage]:
        source = self.split.source
        if position in self.fatal:
            reason = "the process that decoded it died"
            return position, BadImage(name_of(self.split, position), reason)
        try:
            with self.where.at(position):
                if self.clips is not None:
                    return position, self.clip(self.clips, position)
                return position, fit_image(source.read(position), self.contract)
        except BadImage as bad:
            return position, bad

    def clip(self, source: ClipSource, position: int) -> UInt8[Tensor, "t 3 s s"]:
        """The frames of a clip that the network sees, from the cache if it has them."""
        key = clip_key(source, position, self.contract) if self.cache else ""
        kept = self.cache.get(key) if self.cache else None
        if kept is not None:
            return kept
        clip = fit_image(source.read(position)[: self.contract.frames], self.contract)
        if self.cache:
            self.cache.put(key, clip)
        return clip


Collated = tuple[list[int], Tensor | list[Tensor] | None, list[int] | None, list[BadImage]]


def collate(items: list[tuple[int, Tensor | BadImage]], frames: int) -> Collated:
    """Positions, pixels and (of clips) lengths of the good items, and the bad ones."""
    bad = [item for _, item in items if isinstance(item, BadImage)]
    positions = [p for p, item in items if isinstance(item, Tensor)]
    good = [item for _, item in items if isinstance(item, Tensor)]
    if not good:
        return positions, None, None, bad
    if not frames:
        one_size = len({each.shape for each in good}) == 1
        return positions, torch.stack(good) if one_size else good, None, bad
    pixels = torch.zeros(len(good), frames, *good[0].shape[1:], dtype=torch.uint8)
    for row, clip in zip(pixels, good, strict=True):
        row[: len(clip)] = clip
    return positions, pixels, [len(clip) for clip in good], bad


def of_one_size(
    positions: list[int], pixels: Tensor | list[Tensor]
) -> Iterator[tuple[list[int], Tensor]]:
    """Neighbours of one size together; the order stays."""
    if isinstance(pixels, Tensor):
        yield positions, pixels
        return
    for _, several in groupby(enumerate(pixels), lambda item: item[1].shape):
        places = [place for place, _ in several]
        yield [positions[place] for place in places], torch.stack([pixels[p] for p in places])


def worker_init(_: int) -> None:
    """Prepares a worker: it computes in one thread and never collects objects of its parent.

    A decoder of the parent would wait for threads that a forked worker does not have. A signal to
    end is the parent's to answer; the worker just ends.
    """
    gc.freeze()
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and callable(signal.getsignal(getattr(signal, name))):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    torch.set_num_threads(1)


def import_decoders(split: Split, contract: InputContract) -> None:
    """Imports what decodes and resizes pictures, so that no forked process does it once more.

    What resizes takes seconds to import, and is left out where the first picture has its size.
    """
    import PIL.Image

    PIL.Image.init()
    jpeg_decoder()
    if isinstance(split.source, FileSource) and not contract.resize_to and len(split):
        path = split.source.root / split.source.paths[0]
        try:
            regular_size(path)
            with reasons(), PIL.Image.open(path) as picture:
                if picture.size == (contract.size, contract.size):
                    return
        except (HashprobeError, Undecodable):
            pass  # it is said where the picture is decoded
    import torchvision.transforms.v2.functional as resizing

    _ = resizing.resize


def name_of(split: Split, position: int) -> str:
    """The path of an item that is a file or a folder, the id of any other."""
    root, paths = (getattr(split.source, name, None) for name in ("root", "paths"))
    return str(root / paths[position]) if root and paths else split.ids[position]


def stream(
    split: Split,
    contract: InputContract,
    runtime: Runtime = Runtime(),
    *,
    rest: bool = False,
    on_progress: Tick | None = None,
    on_bad: Callable[[BadImage], None] | None = None,
) -> Iterator[Batch]:
    """Decode a split batch by batch, in order and in constant memory.

    Args:
        split: N images or clips.
        contract: size, filter and fit of the pixels, and for clips the number of frames F.
        runtime: `batch_size` is images, or frames of clips, in one batch, by default 256;
            `workers` are decoding processes, by default one a core for files and none for arrays;
            `skip_bad` leaves out items that cannot be decoded; `cache` keeps decoded clips of files
            for the next time. The rest of it plays no part.
        rest: the split is what is left of a larger one: with `skip_bad`, all of its items may be
            bad.
        on_progress: called with (items done, N) after each batch.
        on_bad: called with each item that cannot be decoded.

    Yields:
        Batches of (n, 3, size, size) or (n, F, 3, size, size) 8-bit pixels with their positions. A
        contract of size 0 leaves pictures as they are: those of a batch have one size.

    Raises:
        HashprobeError: after the last batch, if items were bad and `skip_bad` is off: it names the
            first and counts the others; at once if the split is empty, no item can be decoded, the
            data are clips and the network sees images, the other way round, or the cache cannot be
            written.

    Example:
        >>> from hashprobe.data.datasets.digits import load_digits
        >>> digits, contract = load_digits().query, InputContract(size=8)
        >>> next(stream(digits, contract, Runtime(batch_size=4))).images.shape
        torch.Size([4, 3, 8, 8])
    """
    check_kind(split, contract)
    batch_size = max(1, (runtime.batch_size or BATCH) // max(1, contract.frames))
    in_memory = isinstance(split.source, ArraySource | ClipArraySource)
    workers, cache = runtime.workers, runtime.cache
    if workers is None:
        workers = 0 if in_memory else cores()
    if not split.video or in_memory:
        cache = None
    if cache is not None:
        cache.check()
    if workers and split.video:
        gc.collect()  # see worker_init
    if workers:
        import_decoders(split, contract)
    decoded = Decoded(split, contract, cache, workers)

    def load(start: int) -> "DataLoader[Any]":
        processes = min(workers, -(-(len(split) - start) // batch_size))
        return DataLoader(
            decoded,
            batch_size=batch_size,
            sampler=range(start, len(split)),
            num_workers=processes,
            timeout=LOOK_SECONDS if processes else 0,
            collate_fn=partial(collate, frames=contract.frames),
            worker_init_fn=worker_init,
        )

    batches = watched(load, lambda b: len(b[0]) + len(b[3]), decoded.fatal, decoded.where, split)
    done = 0
    failures: list[BadImage] = []
    for positions, pixels, lengths, bad in batches:
        failures += bad
        for failure in bad if on_bad else []:
            assert on_bad is not None
            on_bad(failure)
        done += len(positions) + len(bad)
        frames = None if lengths is None else np.array(lengths, dtype=np.int64)
        for places, some in of_one_size(positions, pixels) if pixels is not None else ():
            yield Batch(some, np.array(places, dtype=np.int64), frames)
        if on_progress:
            on_progress(done, len(split))
    nothing = len(failures) == len(split) and not rest
    if failures and (not runtime.skip_bad or nothing):
        raise too_bad(failures, split)


def check_kind(split: Split, contract: InputContract) -> None:
    """Refuses an empty split, clips for a network of images, and images for a network of clips."""
    if not len(split):
        raise HashprobeError("a split without items cannot be decoded")
    if contract.frames < 0:
        raise HashprobeError(f"a network sees 0 frames or more; got {contract.frames}")
    if split.video and not contract.frames:
        raise HashprobeError("the data are clips, but the network sees images")
    if contract.frames and not split.video:
        raise HashprobeError(
            f"the data are images, but the network sees clips of up to {contract.frames} frames"
        )


def too_bad(failures: list[BadImage], split: Split) -> HashprobeError:
    """The error about items that cannot be decoded: it names the first and counts the others."""
    what, more = "clip" if split.video else "image", len(failures) - 1
    others = f"; {more} other {what}s are bad too" if more else f"; no other {what} is bad"
    hint = "" if len(failures) == len(split) else " (--skip-bad goes on without them)"
    return HashprobeError(f"{failures[0]}{others}{hint}")


@dataclass(frozen=True)
class Pixels:
    """A split decoded as a whole.

    Example:
        >>> Pixels(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([0]), ()).bad
        ()
    """

    images: Images8
    """(M, 3, size, size), or (M, F, 3, size, size) with zeros after each clip's end, in 0..255, in
    memory or mapped from a file."""
    positions: Int64[np.ndarray, " m"]
    """Positions in the split of the M items that could be decoded."""
    bad: tuple[str, ...]
    """The errors of the other items."""
    lengths: Int64[np.ndarray, " m"] | None = None
    """Frames of each clip before the padding; None for images."""


def decode(
    split: Split,
    contract: InputContract,
    runtime: Runtime = Runtime(),
    *,
    on_progress: Tick | None = None,
    into: Path | None = None,
) -> Pixels:
    """Decode a whole split once, so that it can be read in any order afterwards.

    Args:
        split: N images or clips.
        contract: size, filter and fit of the pixels, and for clips the number of frames F.
        runtime: `workers`, `skip_bad` and `cache` as in `stream`; the rest of it plays no part.
        on_progress: called with (items done, N).
        into: an .npy file for pixels that do not fit into memory; the file is mapped.

    Raises:
        HashprobeError: items are bad and `skip_bad` is off, the data are clips and the network sees
            images, the other way round, the cache cannot be written, or the contract has size 0 and
            the pictures have several sizes.

    Example:
        >>> from hashprobe.data.datasets.digits import load_digits
        >>> decode(load_digits().query, InputContract(size=8)).images.shape
        torch.Size([200, 3, 8, 8])
    """
    check_kind(split, contract)
    frames = [contract.frames] if split.video else []
    store: np.ndarray | None = None
    if contract.size:
        store = store_of((len(split), *frames, 3, contract.size, contract.size), into)
    kept: list[Int64[np.ndarray, " n"]] = []
    lengths: list[Int64[np.ndarray, " n"]] = []
    bad: list[str] = []
    filled = 0
    for batch in stream(
        split,
        contract,
        replace(runtime, batch_size=None),
        on_progress=on_progress,
        on_bad=lambda failure: bad.append(str(failure)),
    ):
        if store is None:
            store = store_of((len(split), *batch.images.shape[1:]), into)
        check_one_size(batch, store)
        store[filled : filled + len(batch.positions)] = batch.images.numpy()
        filled += len(batch.positions)
        kept.append(batch.positions)
        lengths += [] if batch.lengths is None else [batch.lengths]
    assert store is not None
    return Pixels(
        torch.from_numpy(store[:filled]),
        np.concatenate(kept),
        tuple(bad),
        np.concatenate(lengths) if lengths else None,
    )


def store_of(shape: tuple[int, ...], into: Path | None) -> np.ndarray:
    """Room for pixels, in memory or mapped from a file."""
    if into is None:
        return np.empty(shape, dtype=np.uint8)
    into.parent.mkdir(parents=True, exist_ok=True)
    refuse_special(into)
    mapped: np.ndarray = np.lib.format.open_memmap(into, mode="w+", dtype=np.uint8, shape=shape)
    return mapped


def check_one_size(batch: Batch, store: np.ndarray) -> None:
    """Refuses pictures of another size than those before them."""
    there, here = store.shape[-2:], tuple(batch.images.shape[-2:])
    if there != here:
        raise HashprobeError(
            f"pictures that are kept together must have one size; got {there[0]}x{there[1]} and "
            f"{here[0]}x{here[1]}: resize them to one, or take those of one size at a time"
        )
