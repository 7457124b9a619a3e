"""A detector by the distance to the nearest stored code."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.detectors.base import Detector, Penalty, Score
from hashprobe.tensors import Images, Logits
from hashprobe.victims.base import Hasher


SOFT = 4.0
"""Slope of the tanh that stands for a sign, in units of the mean |logit|."""


@checked
@dataclass(frozen=True)
class NearestCode(Detector):
    """The Hamming distance to the nearest stored code, as a share of the bits.

    A query that is driven away from everything, or to a code that no picture has, is far from all
    that is stored. A query that is driven to a stored code is not found: its distance is 0, as that
    of a stored picture. A penalty is the distance with tanh in place of signs.

    Example:
        >>> NearestCode().name
        'nearest-code'
    """

    name = "nearest-code"
    title = "Distance to the nearest code"
    needs_database = True

    def made(
        self, victim: Hasher, logits: Logits, database: PackedCodes | None
    ) -> tuple[Score, Penalty]:
        """Distance of the judged codes, and that of tanh."""
        assert database is not None
        stored = torch.from_numpy(database.signs()).to(logits)
        size = logits.abs().mean().clamp_min(1e-12)

        def nearest(codes: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
            return (1 - (codes @ stored.T).amax(1) / stored.shape[1]) / 2

        def score(images: Images) -> Float[Tensor, " n"]:
            return nearest(torch.from_numpy(victim.codes(images).signs()).to(stored))

        def penalty(_: Images, z: Logits) -> Float[Tensor, " n"]:
            return nearest((SOFT * z / size).tanh())

        return score, penalty
