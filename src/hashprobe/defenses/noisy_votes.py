"""Votes of noisy copies, from which the bits of a code are certified."""

import numpy as np
import torch
from jaxtyping import Int64

from hashprobe.checked import checked
from hashprobe.defenses.preprocessors.base import eight_bits
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.types import check_seed, check_whole
from hashprobe.victims.base import Hasher, check_range
from hashprobe.victims.encoding import device_of, judging


@checked
def noisy_votes(
    victim: Hasher,
    images: Images,
    *,
    sigma: float,
    samples: int,
    seed: int = 0,
    batch_size: int = 100,
) -> Int64[np.ndarray, "q k"]:
    """In how many noisy copies each bit of each query is +1 (Cohen et al., ICML 2019, section 3).

    Queries and copies are in 8 bits, as the operator's are, and copies are cut to [0, 1]; what is
    done to a copy after the noise changes nothing about the certificate. `certify_votes` makes one
    of the counts: by default about the expected vote, that of endlessly many copies; with `votes`
    about a vote of as many, which `defended(victim, "smoothing", sigma=sigma, votes=votes)` runs.
    Nothing is certified of the victim by itself, nor of a vote with another sigma.

    Args:
        victim: any victim of images, a perceptual hash, too.
        images: (Q, 3, H, W) in [0, 1], on any device.
        sigma: deviation of the noise, in units of white.
        samples: n, copies of each query.
        seed: of the noise.
        batch_size: copies in the victim at once.

    Returns:
        (Q, K) counts from 0 to n.

    Raises:
        HashprobeError: a victim of clips, pixels beyond [0, 1], or a number out of range.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> victim = ImageHasher("small", 16, size=8).eval()
        >>> counts = noisy_votes(victim, torch.rand(2, 3, 8, 8), sigma=0.1, samples=20)
        >>> counts.shape, int(counts.max()) <= 20
        ((2, 16), True)
    """
    check_whole("samples", samples)
    check_whole("batch size", batch_size)
    check_seed(seed)
    if not 0 < sigma <= 10:
        raise HashprobeError(f"sigma must be above 0 and at most 10; got {sigma:g}")
    if victim.contract.frames:
        raise HashprobeError(
            "votes of noisy copies are for victims of images; this one takes clips"
        )
    check_range(images, "pixels of queries")
    device, counts = device_of(victim), np.zeros((len(images), victim.bits), np.int64)
    with judging(victim, device), torch.no_grad():
        for row, image in enumerate(eight_bits(images).to(device)):
            chance = torch.Generator().manual_seed(seed * 1_000_003 % 2**62 + row)
            for begin in range(0, samples, batch_size):
                shape = (min(batch_size, samples - begin), *image.shape)
                noise = torch.randn(shape, generator=chance).to(image)
                copies = (image + sigma * noise).clamp_(0, 1).mul_(255).round_().div_(255)
                counts[row] += (victim.codes(copies).signs() > 0).sum(0)
    return counts
