"""Every hashing loss by its name: the only place that knows which there are; imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias


if TYPE_CHECKING:
    from torch import Tensor

    Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
    """codes (B, K), memory (N, K), similar (B, N) -> a scalar."""
    CentreLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
    """codes (B, K), centre of each item (B, K) -> a scalar."""
else:
    Loss = CentreLoss = Callable


@dataclass(frozen=True)
class HashingLoss:
    """A loss of the training loop and what it compares.

    Example:
        >>> LOSSES["csq"].compares, round(LOSSES["hashnet"].slope_at(600), 3)
        ('centres', 2.0)
    """

    function: str
    """`module:function`, imported when it is used: a `Loss`, or a `CentreLoss`."""
    compares: Literal["pairs", "centres"] = "pairs"
    """`pairs`: each item with all training items; `centres`: each item with that of its labels."""
    slope: str | None = None
    """`module:function` from the training step to beta of u = tanh(beta z); None for beta = 1."""
    weighs: bool = False
    """Whether the function takes `balance`, from 0 (each pair counts the same) to 1 (similar and
    other pairs have the same total weight)."""
    every: bool = False
    """Whether the function is also given all distinct centres, as `every`."""

    @property
    def centres(self) -> bool:
        """Whether items are compared with the centres of their labels."""
        return self.compares == "centres"

    def load(self, balance: float = 0.0, centres: "Tensor | None" = None) -> Any:
        """The function itself.

        Args:
            balance: how far similar and other pairs have the same total weight, from 0 to 1, where
                the loss leaves the choice.
            centres: (N, K) of the items, where items are compared with centres.
        """
        function = imported(self.function)
        if self.every and centres is not None:
            function = partial(function, every=distinct(centres))
        return partial(function, balance=balance) if balance and self.weighs else function

    def slope_at(self, step: int) -> float:
        """beta of u = tanh(beta z) at a training step.

        Args:
            step: steps done, from 0.
        """
        return 1.0 if self.slope is None else float(imported(self.slope)(step))


_HERE = "hashprobe.training.losses"

LOSSES: dict[str, HashingLoss] = {
    "csq": HashingLoss(f"{_HERE}.csq:csq", compares="centres"),
    "dph": HashingLoss(f"{_HERE}.dph:dph", weighs=True),
    "dpsh": HashingLoss(f"{_HERE}.dpsh:dpsh", weighs=True),
    "dpn": HashingLoss(f"{_HERE}.dpn:dpn", compares="centres"),
    "dvh": HashingLoss(f"{_HERE}.dvh:dvh"),
    "greedyhash": HashingLoss(f"{_HERE}.greedyhash:greedyhash", compares="centres", every=True),
    "hashnet": HashingLoss(f"{_HERE}.hashnet:hashnet", slope=f"{_HERE}.hashnet:hashnet_slope"),
    "orthohash": HashingLoss(f"{_HERE}.orthohash:orthohash", compares="centres", every=True),
}
"""Every loss by name."""

if TYPE_CHECKING:
    LossName: TypeAlias = str
else:
    LossName = Literal[tuple(LOSSES)]  # the command line lists the choices


def distinct(centres: "Tensor") -> "Tensor":
    """The different rows of centres, as floats."""
    import torch

    return torch.unique(centres.float(), dim=0)  # type: ignore[no-any-return]


def imported(place: str) -> Any:
    """The object at `module:name`."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
