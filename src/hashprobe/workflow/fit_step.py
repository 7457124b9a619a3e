"""Fits a binariser to the embeddings of a folder of pictures."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hashprobe.checked import checked
from hashprobe.data.loader import stream
from hashprobe.data.picture_folder import picture_folder
from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.progress import Tick
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher, in_own_dtype, lay_channels_last
from hashprobe.victims.binarise import Binariser, Floats, Method, fit_binariser
from hashprobe.victims.encoding import device_of, judging
from hashprobe.victims.foreign import VictimOptions
from hashprobe.victims.loading import load_victim
from hashprobe.workflow.encode_step import CPU_BYTES, few_workers, queries_of
from hashprobe.workflow.run_io import pick_device


@checked
@dataclass(frozen=True)
class FitOptions:
    """How a binariser is fitted; see `fit_binariser`.

    Example:
        >>> FitOptions().method
        'itq'
    """

    method: Method = "itq"
    """mean: signs of centred floats; median: each float against its median over the pictures; pca:
    signs of the leading principal components; itq: of these after the rotation that brings them
    nearest to their signs; random: along random directions."""
    bits: int | None = None
    """Bits of a code; by default as many as the network has floats."""
    seed: int = 0
    """Seed of the random rotation (itq, random)."""


@checked
@dataclass(frozen=True)
class FittedBinariser:
    """A binariser, and what it does to the pictures that it was fitted to.

    Example:
        >>> FittedBinariser(Binariser(mean=np.zeros(8)), 100, 2).constant
        2
    """

    binariser: Binariser
    """What was fitted."""
    pictures: int
    """How many pictures it was fitted to."""
    constant: int
    """Bits that are the same for all of them."""

    def __str__(self) -> str:
        floats, bits = self.binariser.floats, self.binariser.bits
        text = f"{floats:,} floats to {bits:,} bits, fitted to {self.pictures:,} pictures"
        if not self.constant:
            return text
        return f"{text}; {self.constant:,} bits are the same for all of them"


@checked
def fit_on_pictures(
    source: str | Path,
    pictures: Path,
    *,
    options: VictimOptions | None = None,
    fit: FitOptions = FitOptions(),
    runtime: Runtime = Runtime(),
) -> FittedBinariser:
    """Fits a binariser to what a network gives for a folder of pictures.

    Args:
        source: the network, as for `load_victim`.
        pictures: a folder of pictures, at any depth; a thousand are few for ITQ.
        options: how the network is used; its bits, if given, are its floats.
        fit: method, bits and seed.
        runtime: device, decoding processes, and who is told.

    Returns:
        The binariser; `binariser.save(path)` writes the file that `binarise=path` reads.

    Raises:
        HashprobeError: the network or the pictures cannot be read, or the method does not fit them.

    Example:
        >>> fit_on_pictures("no/such/net.pt2", Path("photos"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no victim at no/such/net.pt2: there is no such file
    """
    options = options or VictimOptions()
    zero_bit = options.zero_bit if options.zero_bit is not None else 1
    if options.binarise not in (None, "sign"):
        raise HashprobeError("a binariser is fitted to floats: leave binarise out")
    victim = load_victim(source, replace(options, zero_bit=None))
    split = picture_folder(pictures)
    with runtime.progress.bar("embedding pictures") as tick:
        floats = embed(victim, split, runtime, tick)
    binariser = fit_binariser(floats, fit.method, fit.bits, seed=fit.seed, zero_bit=zero_bit)
    logits = binariser(floats)
    ones = logits >= 0 if zero_bit else logits > 0
    constant = int((ones == ones[:1]).all(0).sum())
    return FittedBinariser(binariser, len(floats), constant)


def embed(victim: Hasher, split: Split, runtime: Runtime, tick: Tick | None = None) -> Floats:
    """(N, D) the floats that a network gives for the pictures of a split."""
    device = pick_device(runtime.device)
    victim.to(device)
    lay_channels_last(victim)
    rows: list[np.ndarray] = []
    few = few_workers(runtime, split, device)
    for batch in stream(split, victim.contract, few, on_progress=tick):
        step = max(1, CPU_BYTES // (4 * batch.images[0].numel()))
        for first in range(0, len(batch.images), step):
            queries = queries_of(batch, slice(first, first + step), device)
            with judging(victim, device_of(victim)):
                floats: torch.Tensor = victim(in_own_dtype(victim, queries.pixels))
            rows.append(floats.float().cpu().numpy())
    return np.concatenate(rows)
