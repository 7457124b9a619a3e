"""What every detector looks like: fitted on clean pictures, and known to an adaptive attacker."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.preprocessors.base import eight_bits
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits
from hashprobe.victims.base import Hasher, frozen_eval
from hashprobe.victims.encoding import device_of


CHUNK = 64
"""Pictures that are scored at once."""

Suspicion = Callable[[Images, Logits], Float[Tensor, " n"]]
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
    score: Suspicion
    """What the operator computes; larger is more suspicious."""
    penalty: Suspicion
    """What an attacker makes small who knows the detector: the same with a useful gradient, and
    with chance of the attacker's own."""

    def scores(self, images: Images) -> Float64[np.ndarray, " n"]:
        """How suspicious each of some pictures is to the operator, who sees them in 8 bits.

        Args:
            images: (N, 3, H, W) in [0, 1].
        """
        found = []
        with frozen_eval(self.victim), torch.no_grad():
            for part in torch.split(images.to(device_of(self.victim)), CHUNK):
                pictures = eight_bits(part)
                found.append(self.score(pictures, self.victim(pictures)).double().cpu())
        return torch.cat(found).numpy()


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

    def fit(self, victim: Hasher, clean: Images, database: PackedCodes | None = None) -> Fitted:
        """Learns what clean pictures look like to a victim.

        Args:
            victim: any victim of images with gradients.
            clean: (N, 3, H, W) in [0, 1]: pictures that are known to be clean.
            database: stored codes, for a detector that compares with them.

        Raises:
            HashprobeError: no pictures, no database where one is needed, or a victim that can only
                be asked.
        """
        if victim.query_only or victim.contract.frames:
            why = victim.query_only or "the victim takes clips"
            raise HashprobeError(f"detector {self.name} needs the logits of pictures: {why}")
        if not len(clean):
            raise HashprobeError(f"detector {self.name} is fitted on clean pictures: give some")
        if self.needs_database and (database is None or not len(database)):
            raise HashprobeError(f"detector {self.name} compares with stored codes: give database=")
        parts = []
        with frozen_eval(victim), torch.no_grad():
            for part in torch.split(clean.to(device_of(victim)), CHUNK):
                parts.append(victim(eight_bits(part)))
        score, penalty = self.made(victim, torch.cat(parts), database)
        return Fitted(self, victim, score, penalty)

    @abstractmethod
    def made(
        self, victim: Hasher, logits: Logits, database: PackedCodes | None
    ) -> tuple[Suspicion, Suspicion]:
        """Score and penalty for a victim.

        Args:
            victim: in evaluation mode while they are called.
            logits: of clean pictures.
            database: stored codes.
        """

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files."""
        return {"name": self.name, **asdict(self)}
