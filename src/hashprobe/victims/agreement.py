"""How far what carries gradients and what judges give the same bits."""

from typing import Any

import torch

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.data.arrays import as_bytes, as_pixels, by_size
from hashprobe.data.queries import Queries
from hashprobe.types import check_whole
from hashprobe.victims.base import Hasher, in_own_dtype
from hashprobe.victims.encoding import as_given, device_of, encode, judging
from hashprobe.victims.passes import attend


@checked
def agreement(victim: Hasher, pictures: Any, *, batch_size: int = 64) -> float:
    """Share of bits on which the signs of a victim's logits and its judged codes agree.

    It is 1 for networks, whose code is the sign. A perceptual hash is attacked through its torch
    form and judged by a library; a low agreement means that gradients point elsewhere.

    Args:
        victim: left as it was.
        pictures: (N, 3, H, W) pixels, uint8 or floating in [0, 1], or a list of pictures of several
            sizes for a victim that takes these; they are judged after 8 bits.
        batch_size: pictures in the victim at once.

    Returns:
        From 0 to 1.

    Raises:
        HashprobeError: pictures that do not fit.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> agreement(ImageHasher("small", 16), torch.rand(2, 3, 32, 32))
        1.0
    """
    check_whole("batch size", batch_size)
    groups = by_size(pictures)
    if len(groups) > 1 and not victim.contract.size:
        parts = [as_pixels([pictures[row] for row in rows]) for rows in groups.values()]
    else:
        parts = [as_pixels(pictures)]
    wrong = bits = 0
    for pixels in parts:
        for start in range(0, len(pixels), batch_size):
            some = as_given(as_bytes(pixels[start : start + batch_size])).on(device_of(victim))
            codes = encode(victim, some)
            wrong += int(paired_hamming(signs_of(victim, some), codes).sum())
            bits += len(codes) * codes.bits
    return 1 - wrong / bits


def signs_of(victim: Hasher, queries: Queries) -> PackedCodes:
    """The signs of the logits of some queries, whatever judges the victim."""
    pixels, *lengths = queries.given
    with attend([]), torch.inference_mode(False), judging(victim, pixels.device):
        return PackedCodes.from_logits(victim(in_own_dtype(victim, pixels), *lengths))
