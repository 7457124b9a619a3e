"""A detector by the distance to the nearest stored code."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.detectors.base import Detector, Suspicion
from hashprobe.tensors import Images, Logits
from hashprobe.victims.base import Hasher


SOFT = 4.0
"""Slope of the tanh that stands for a sign, in units of the mean |logit|."""


@checked
@dataclass(frozen=True)
class NearestCode(Detector):
    """The Hamming distance to the nearest stored code, as a share of the bits.

    A query that is driven away from everything, or to a code that no picture has, is far from all
    that is stored; one that is driven to a stored code is as near as any. A penalty is the distance
    with tanh in place of signs.

    Example:
        >>> NearestCode().name
        'nearest-code'
    """

    name = "nearest-code"
    title = "Distance to the nearest code"
    needs_database = True

    def made(
        self, victim: Hasher, logits: Logits, database: PackedCodes | None
    ) -> tuple[Suspicion, Suspicion]:
        """Distance of signs, and of tanh."""
        assert database is not None
        stored = torch.from_numpy(database.signs()).to(logits)
        size = logits.abs().mean().clamp_min(1e-12)

        def nearest(codes: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
            return (1 - (codes @ stored.T).amax(1) / stored.shape[1]) / 2

        def score(_: Images, z: Logits) -> Float[Tensor, " n"]:
            return nearest(torch.where(z >= 0, 1.0, -1.0).to(z))

        def penalty(_: Images, z: Logits) -> Float[Tensor, " n"]:
            return nearest((SOFT * z / size).tanh())

        return score, penalty
