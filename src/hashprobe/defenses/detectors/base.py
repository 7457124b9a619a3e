"""What every detector looks like: fitted on clean pictures, and known to an adaptive attacker."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.preprocessors.base import eight_bits
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Pixels
from hashprobe.victims.base import Hasher, check_range, in_own_dtype
from hashprobe.victims.encoding import device_of, judging


CHUNK = 64
"""Pictures that are scored at once."""

Score = Callable[[Images], Float[Tensor, " n"]]
"""Pictures in 8 bits -> how suspicious each is by the codes or logits that the operator gets."""
Penalty = Callable[[Images, Logits], Float[Tensor, " n"]]
"""(pictures, their logits) -> how suspicious each is, with a gradient."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A detector that knows a victim, what its clean pictures look like and what is stored.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> from hashprobe.defenses import Instability
        >>> victim = ImageHasher("small", 16, size=8).eval()
        >>> fitted = Instability().fit(victim, torch.rand(20, 3, 8, 8))
        >>> fitted.scores(torch.rand(2, 3, 8, 8)).shape
        (2,)
    """

    detector: "Detector"
    victim: Hasher
    score: Score
    """What the operator computes; larger is more suspicious."""
    penalty: Penalty
    """What an attacker makes small who knows the detector: the same with a useful gradient, and
    with chance of the attacker's own."""

    @checked
    def scores(self, images: Pixels) -> Float64[np.ndarray, " n"]:
        """How suspicious each of some pictures is to the operator, who sees them in 8 bits.

        Behind a random remedy these are the operator's draws and copies, not the attacker's.

        Args:
            images: (N, 3, H, W) in [0, 1], or uint8.

        Raises:
            HashprobeError: pixels out of range.
        """
        return over_parts(self.victim, images, self.score).double().numpy()


@dataclass(frozen=True)
class Detector(ABC):
    """A number that tells attacked queries from clean ones, with its options as fields.

    Example:
        >>> from hashprobe.defenses import NearestCode
        >>> NearestCode.needs_database
        True
    """

    name: ClassVar[str]
    """What it is called in options and files."""
    title: ClassVar[str]
    """What it is called in tables."""
    needs_database: ClassVar[bool] = False
    """Whether it compares queries with stored codes."""

    @checked
    def fit(self, victim: Hasher, clean: Pixels, database: PackedCodes | None = None) -> Fitted:
        """Learns what clean pictures look like to a victim.

        Args:
            victim: any victim of images with gradients.
            clean: (N, 3, H, W) in [0, 1], or uint8: pictures that are known to be clean.
            database: stored codes, for a detector that compares with them.

        Raises:
            HashprobeError: no pictures or pixels out of range, no database or one of other bits
                where one is needed, or a victim that can only be asked.
        """
        if victim.query_only or victim.contract.frames:
            why = victim.query_only or "the victim takes clips"
            raise HashprobeError(f"detector {self.name} needs the logits of pictures: {why}")
        if not len(clean):
            raise HashprobeError(f"detector {self.name} is fitted on clean pictures: give some")
        if self.needs_database and (database is None or not len(database)):
            raise HashprobeError(f"detector {self.name} compares with stored codes: give database=")
        if database is not None and database.bits != victim.bits:
            raise HashprobeError(
                f"the stored codes have {database.bits} bits and those of the victim "
                f"{victim.bits}: give the codes that this victim made"
            )
        logits = over_parts(victim, clean, victim.operator_logits)
        score, penalty = self.made(victim, logits.to(device_of(victim)), database)
        return Fitted(self, victim, score, penalty)

    @abstractmethod
    def made(
        self, victim: Hasher, logits: Logits, database: PackedCodes | None
    ) -> tuple[Score, Penalty]:
        """Score and penalty for a victim.

        Args:
            victim: in evaluation mode while they are called.
            logits: of clean pictures, as the operator gets them.
            database: stored codes.
        """

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files."""
        return {"name": self.name, **asdict(self)}


def over_parts(victim: Hasher, images: Pixels, what: Callable[[Images], Tensor]) -> Tensor:
    """What is computed of pictures as the operator sees them, on the CPU: in 8 bits, some at a
    time, with nothing that was set for speed."""
    if images.is_floating_point():
        check_range(images.detach(), "pictures")
    device = device_of(victim)
    with judging(victim, device):
        parts = torch.split(images.to(device), CHUNK)
        return torch.cat([what(in_own_dtype(victim, eight_bits(part))).cpu() for part in parts])
