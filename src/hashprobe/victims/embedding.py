"""Embeddings as victims: the logits are floats after a binariser."""

from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Lengths, Logits
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.binarise import Binariser
from hashprobe.victims.wrap import Victim, zeros_below


@checked
class Embedding(Hasher):
    """A network of floats as a victim: (z - mean) @ matrix - thresholds are its logits.

    Args:
        victim: gives (N, D) floats.
        binariser: what makes (N, K) logits of them; or `median`: each float less the median of its
            picture's own floats (the mean of the two in the middle).
        zero_bit: the bit of a float at its picture's median; of a binariser, its own rule holds.

    Raises:
        HashprobeError: a binariser of another number of floats.

    Example:
        >>> import numpy as np
        >>> floats = Victim(torch.nn.Flatten(), bits=12, size=2)
        >>> Embedding(floats, Binariser(mean=np.full(12, 0.5)))(torch.ones(1, 3, 2, 2))[0, :2]
        tensor([0.5000, 0.5000])
    """

    def __init__(
        self, victim: Hasher, binariser: Binariser | Literal["median"], zero_bit: Literal[0, 1] = 1
    ) -> None:
        own = isinstance(binariser, str)
        bits = victim.bits if isinstance(binariser, str) else binariser.bits
        super().__init__(bits, victim.contract)
        if not isinstance(binariser, str):
            zero_bit = binariser.zero_bit
            if binariser.floats != victim.bits:
                raise HashprobeError(
                    f"the binariser is one of {binariser.floats} floats and the network gives "
                    f"{victim.bits}: was it fitted on another output?"
                )
        self.victim, self.own_median, self.zero_bit = victim, own, zero_bit
        self.query_only = victim.query_only
        for name in ("mean", "matrix", "thresholds"):
            given = None if isinstance(binariser, str) else getattr(binariser, name)
            tensor = None if given is None else torch.tensor(given, dtype=torch.float32)
            self.register_buffer(f"binariser_{name}", tensor)

    @property
    def reading(self) -> dict[str, Any]:
        """How outputs are read: part of an attack's recipe."""
        inner = getattr(self.victim, "reading", {})
        said: dict[str, Any] = {"binarise": "median" if self.own_median else "file"}
        return {**inner, **said, **({} if self.zero_bit else {"zero_bit": 0})}

    def forward(self, images: Images, lengths: Lengths | None = None) -> Logits:
        """Logits of images or clips in [0, 1]; see `Victim.forward`."""
        floats: Tensor = self.victim(images, *([] if lengths is None else [lengths]))
        if self.own_median:
            middle = floats.sort(1).values[:, [(self.bits - 1) // 2, self.bits // 2]]
            logits = floats - middle.mean(1, keepdim=True)
        else:
            logits = floats
            for name, step in STEPS.items():
                given: Tensor | None = getattr(self, f"binariser_{name}")
                logits = logits if given is None else step(logits, given.to(logits))
        return logits if self.zero_bit else zeros_below(logits)

    def with_contract(self, contract: InputContract) -> "Embedding":
        """The same with a network that expects another input; see `Victim.with_contract`.

        Args:
            contract: what it expects.

        Raises:
            HashprobeError: the network knows its own.
        """
        if not isinstance(self.victim, Victim):
            raise HashprobeError("the network knows its own contract")
        twin = copy(self)
        twin._modules = {**self._modules, "victim": self.victim.with_contract(contract)}
        twin.contract = contract
        return twin

    def train(self, mode: bool = True) -> "Embedding":
        """Switches the mode; see `Victim.train`."""
        self.training = mode
        self.victim.train(mode)
        return self


STEPS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": torch.sub,
    "matrix": torch.matmul,
    "thresholds": torch.sub,
}
"""What is done to floats, in this order."""


def binarised(victim: Hasher, binarise: str | Path | None, zero_bit: int | None) -> Hasher:
    """A victim of floats with what its options say of bits.

    Args:
        victim: gives floats.
        binarise: sign, median, or the path of a binariser; None for sign.
        zero_bit: the bit of 0; a binariser knows its own, None for 1.

    Raises:
        HashprobeError: the file is no binariser, fits another network or has another zero_bit.
    """
    if binarise in (None, "sign"):
        return victim
    if binarise == "median":
        return Embedding(victim, "median", 0 if zero_bit == 0 else 1)
    known = Binariser.load(Path(str(binarise)).expanduser())
    if zero_bit not in (None, known.zero_bit):
        raise HashprobeError(
            f"{binarise} says that the bit of 0 is {known.zero_bit}: leave zero_bit out"
        )
    return Embedding(victim, known)
