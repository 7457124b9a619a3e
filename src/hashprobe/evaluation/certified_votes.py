"""From counts of noisy copies to how far each bit of a code holds."""

from math import floor, log

import numpy as np
from jaxtyping import Integer

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certificates import BitCertificate
from hashprobe.types import check_whole


@checked
def certify_votes(
    ones: Integer[np.ndarray, "q k"],
    samples: int,
    sigma: float,
    *,
    error: float = 0.001,
    votes: int | None = None,
    miss: float = 0.001,
) -> BitCertificate:
    """The l2 radius of every bit of a code that noisy copies vote on.

    Cohen et al. (ICML 2019, theorem 1) for each bit: let noise of deviation sigma around the query
    give the bit's value with a chance of at least p. Around a picture at a distance r it then gives
    it with a chance of at least Phi(Phi^-1(p) - r / sigma). p is the lower end of the interval of
    Clopper and Pearson at error / K, so that all bits of a code hold together with a chance of at
    least 1 - error (Bonferroni).

    Without `votes` the radius is where that chance falls to 1/2. It is about the expected vote,
    that of endlessly many copies, which nobody runs: a vote of few copies errs near the radius
    nearly half of the time. With `votes` the radius is where a vote of n copies errs in any
    certified bit of a code with a chance of `miss` at most: the chance of n/2 or fewer right copies
    is at most miss / K. The copies are drawn anew for each picture (as `Smoothing` does from a
    picture's content and a secret seed), so `miss` is about one picture that is chosen without
    knowing the draws. Who may try T pictures and see the codes errs with at most T times as much.

    Args:
        ones: (Q, K) in how many of the copies each bit is +1.
        samples: how many copies were counted.
        sigma: deviation of the noise, in units of white.
        error: chance that any bit of a query is certified wrongly by these samples, in (0, 1).
        votes: n, the copies that the operator lets vote, odd; by default endlessly many.
        miss: chance that a vote of n copies errs in any certified bit of a code, in (0, 1); it
            counts with `votes` alone.

    Returns:
        Codes by majority with their radius; it is 0 where both values are possible.

    Raises:
        HashprobeError: counts beyond the samples, or a number out of range.

    Example:
        >>> counts = np.array([[1000, 0, 520]])
        >>> held = certify_votes(counts, 1000, 0.25)
        >>> held.signs.tolist(), held.radius.round(2).tolist()
        ([[1, -1, 1]], [[0.59, 0.59, 0.0]])
        >>> certify_votes(counts, 1000, 0.25, votes=51).radius.round(2).tolist()
        [[0.45, 0.45, 0.0]]
    """
    from scipy.special import betaincinv, ndtri  # type: ignore[import-untyped]

    check_whole("samples", samples)
    if not 0 < sigma < np.inf:
        raise HashprobeError(f"sigma must be above 0; got {sigma}")
    check_chance("error", error)
    if ones.size and (ones.min() < 0 or ones.max() > samples):
        wrong = ones.min() if ones.min() < 0 else ones.max()
        raise HashprobeError(
            f"counts must be from 0 to the number of samples, {samples}; got {wrong}"
        )
    bits = max(1, ones.shape[1])
    needed = 0.5 if votes is None else needed_chance(votes, check_chance("miss", miss) / bits)
    most = np.maximum(ones, samples - ones).astype(np.float64)
    chance = betaincinv(most, samples - most + 1, error / (2 * bits))
    # The theorem holds below the radius.
    known, radius = chance > needed, np.zeros(chance.shape)
    reach = sigma * (ndtri(chance[known]) - ndtri(needed))
    radius[known] = np.nextafter(reach, 0.0)
    signs = np.where(2 * ones >= samples, 1, -1).astype(np.int8)
    return BitCertificate(signs, radius, "l2")


def largest_radius(
    bits: int,
    samples: int,
    sigma: float,
    *,
    error: float = 0.001,
    votes: int,
    miss: float = 0.001,
) -> float:
    """The radius of a bit that all samples agree on; no bit has a larger one.

    Args:
        bits: K.
        samples: as for `certify_votes`, and so are the others.
        sigma: deviation of the noise, in units of white.
        error: chance that any bit of a query is certified wrongly by these samples, in (0, 1).
        votes: n, the copies that the operator lets vote, odd.
        miss: chance that a vote of n copies errs in any certified bit of a code, in (0, 1).

    Returns:
        In units of white, above 0.

    Raises:
        HashprobeError: too few samples for these votes to certify any bit; the least number that
            would do is named.

    Example:
        >>> round(largest_radius(32, 1000, 0.1, votes=101), 3)
        0.179
        >>> largest_radius(32, 1000, 0.1, votes=3)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: samples must be at least 3420 for 3 votes of 32 bits, or \
no bit is certified; got 1000: take more samples or more votes
    """
    best = certify_votes(
        np.full((1, bits), samples), samples, sigma, error=error, votes=votes, miss=miss
    )
    if best.radius.all():
        return float(best.radius[0, 0])
    needed = needed_chance(votes, miss / bits)
    if needed == 1:
        raise HashprobeError(
            f"no number of samples certifies a bit of {votes} votes with a miss of {miss:g}: "
            "take more votes or a larger miss"
        )
    # All of n are alike with a lower end of (error / 2K)^(1/n).
    fewest = floor((log(error) - log(2 * bits)) / log(needed)) + 1
    raise HashprobeError(
        f"samples must be at least {fewest} for {votes} votes of {bits} bits, or no bit is "
        f"certified; got {samples}: take more samples or more votes"
    )


def needed_chance(votes: int, tail: float) -> float:
    """The chance of one copy to be right with which the majority is wrong with chance `tail`."""
    from scipy.special import betaincinv

    check_whole("votes", votes)
    if votes % 2 == 0:
        raise HashprobeError(f"votes must be odd, as those of smoothing are; got {votes}")
    # n/2 or fewer of n are right with a chance of 1 - I_p((n+1)/2, (n+1)/2), by symmetry I_{1-p}.
    half = (votes + 1) // 2
    return max(0.5, 1 - float(betaincinv(half, half, tail)))


def check_chance(name: str, value: float) -> float:
    """Refuses what is no chance between never and always."""
    if not 0 < value < 1:
        raise HashprobeError(f"{name} must be above 0 and below 1; got {value}")
    return value
