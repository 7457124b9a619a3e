"""Queries to codes as they are judged: float32, whatever was set for speed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes, bytes_of
from hashprobe.data.arrays import as_pixels, by_size
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Pixels
from hashprobe.types import Labels, check_whole
from hashprobe.victims.base import Hasher, frozen_eval, in_own_dtype
from hashprobe.victims.clip import FramewiseHasher, gathered, spread_out
from hashprobe.victims.passes import note


MANY = 32
"""Items of which some must differ in their codes."""


@checked
def encode(victim: Hasher, queries: Queries) -> PackedCodes:
    """Codes as the victim is judged, in evaluation mode and in float32: by default the hard sign.

    Autocast is off, and so are the TF32 convolutions that PyTorch uses on NVIDIA by default: their
    10 bits can turn over a bit whose logit is near 0.

    Args:
        victim: any hasher, in any mode; left as it was.
        queries: N images or clips with pixels in [0, 1], on the device of the victim.

    Returns:
        N codes, on the CPU.

    Raises:
        HashprobeError: logits that are not numbers, or of another length than the victim says.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> encode(ImageHasher("small", 16), Queries(torch.rand(2, 3, 32, 32))).bits
        16
    """
    with judging(victim, queries.pixels.device):
        pixels, *lengths = queries.given
        return victim.codes(in_own_dtype(victim, pixels), *lengths)


@checked
def encode_both(victim: Hasher, queries: Queries, moved: Images) -> tuple[PackedCodes, PackedCodes]:
    """Codes of queries and of what became of them, as `encode` has them.

    A `FramewiseHasher` looks only once at the frames of a clip that did not change.

    Args:
        victim: any hasher, in any mode; left as it was.
        queries: N images or clips with pixels in [0, 1], on the device of the victim.
        moved: their pixels after an attack, the same shape.

    Returns:
        N codes and N codes, on the CPU.

    Raises:
        HashprobeError: as `encode`.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> images = torch.rand(2, 3, 32, 32)
        >>> clean, black = encode_both(ImageHasher("small", 16), Queries(images), 0 * images)
        >>> clean.bits, len(black)
        (16, 2)
    """
    if queries.lengths is None or not isinstance(victim, FramewiseHasher):
        attacked = Queries(moved, queries.ids, queries.lengths)
        return encode(victim, queries), encode(victim, attacked)
    with judging(victim, queries.pixels.device):
        own, lengths = queries.own, queries.lengths
        changed = own & (queries.pixels != moved).flatten(2).any(2)
        # A copy, as all that a network is given: it may write into it.
        frames = in_own_dtype(victim, gathered(queries.pixels, own).clone())
        before = spread_out(victim.features(frames), own)
        after = before.clone()
        if changed.any():
            seen = victim.features(in_own_dtype(victim, moved[changed]))
            after = before.to(seen).index_put((changed,), seen)
        logits = [victim.code(features, lengths) for features in (before, after)]
        for each in logits:
            note(each)
        return PackedCodes.from_logits(logits[0]), PackedCodes.from_logits(logits[1])


def encode_all(victim: Hasher, images: Any, labels: Any, batch_size: int) -> Codes:
    """Codes of many images, some at a time, with their labels."""
    check_whole("batch size", batch_size)
    known = None if labels is None else as_labels(labels)
    groups = by_size(images) if not victim.contract.size else {}
    if len(groups) < 2:
        pixels = as_pixels(images)
        codes = encode_one_size(victim, pixels, batch_size)
        check_codes_differ(codes, known)
        return Codes(codes, known, pixels)
    data = np.zeros((len(images), bytes_of(victim.bits)), np.uint8)
    for rows in groups.values():
        data[rows] = encode_one_size(
            victim, as_pixels([images[row] for row in rows]), batch_size
        ).data
    codes = PackedCodes(data, victim.bits)
    check_codes_differ(codes, known)
    return Codes(codes, known)


def encode_one_size(victim: Hasher, pixels: Pixels, batch_size: int) -> PackedCodes:
    """Codes of many images of one size, some at a time."""
    from hashprobe.victims.preflight import guarded, preflight

    device = device_of(victim)
    found = preflight(victim, as_given(pixels), batch_size=batch_size)
    parts = []
    with guarded(victim, found):
        for start in range(0, len(pixels), batch_size):
            part = as_given(pixels[start : start + batch_size])
            parts.append(encode(victim, part.on(device)))
    return PackedCodes.concatenate(parts)


def check_codes_differ(codes: PackedCodes, labels: Labels | None) -> None:
    """Refuses many items of several classes that all have one code.

    Args:
        codes: of N items.
        labels: theirs; None where they are not known.

    Raises:
        HashprobeError: a network whose bits are all constant.
    """
    several = labels is None or bool((labels != labels[:1]).any())
    if len(codes) >= MANY and several and bool((codes.data == codes.data[:1]).all()):
        raise HashprobeError(
            f"all {len(codes)} items have the same code: all {codes.bits} bits are constant: train "
            "the network further, or check its weights and its normalisation"
        )


def as_given(pixels: Pixels) -> Queries:
    """Pixels as they are; all frames of clips are their own."""
    if pixels.ndim == 4:
        return Queries(pixels)
    return Queries(pixels, lengths=torch.full((len(pixels),), pixels.shape[1]))


@contextmanager
def judging(victim: Hasher, device: torch.device) -> Iterator[None]:
    """Prepares a victim for being judged: no gradients, nothing that was set for speed."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )
    autocast = torch.autocast(device.type, enabled=False)
    with frozen_eval(victim), torch.no_grad(), autocast, exact:
        yield


def device_of(victim: Hasher) -> torch.device:
    """Where a victim's weights are."""
    for tensor in (*victim.parameters(), *victim.buffers()):
        return tensor.device
    return torch.device("cpu")
