"""What every attack looks like from outside."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    TypeAlias,
    get_args,
    runtime_checkable,
)

from hashprobe.attacks.goal import Goal
from hashprobe.checked import Late, checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.types import Budget, Runtime, check_whole


if TYPE_CHECKING:
    from hashprobe.victims.base import Hasher as Hasher
else:
    Hasher = Annotated[Any, Late("hashprobe.victims.base", "Hasher")]  # without torch

LATER = MappingProxyType({"later": True})
"""Metadata of an option that an attack did not have at first: its default is not written into
files, which stay those of earlier versions."""

Access: TypeAlias = Literal["white", "transfer", "query"]
"""What an attack is given of the victim: its gradients, another network, or its answers."""
Need: TypeAlias = Literal["gradients", "target images", "database", "generator"]
"""What an attack cannot do without; `database` is the part of it that the adversary knows, a
`generator` is a network that was trained for the victim."""
Start: TypeAlias = Literal["random", "clean"]
"""Where a descent begins: at a random point of the budget, or at the clean query."""


@runtime_checkable
class AttackFunction(Protocol):
    """Queries to adversarial pixels: same device and dtype, victim left as it was.

    Rows are independent, and what is random depends on (seed, query id) and nothing else. The
    runner projects onto the budget, rounds to 8 bits, encodes again and judges: an attack never
    decides that it won.

    Example:
        >>> from hashprobe.attacks import dhta
        >>> isinstance(dhta, AttackFunction)
        True
    """

    def __call__(
        self,
        victim: Hasher,
        queries: Queries,
        goal: Goal,
        *,
        budget: Budget,
        options: Any,
        seed: int = 0,
        runtime: Runtime = Runtime(),
    ) -> Images: ...


MOST_STEPS = 50
"""Steps at most of an attack that chooses their number by its budget."""


@checked
@dataclass(frozen=True)
class Attack:
    """One attack as commands, reports and recipes know it.

    Example:
        >>> from hashprobe.attacks import ATTACKS
        >>> ATTACKS["dhta"].title, ATTACKS["hag"].goal
        ('DHTA', 'untargeted')
    """

    name: str
    """What it is called on the command line."""
    run: Callable[..., Images]
    """The attack itself: an `AttackFunction`."""
    options: type[Any]
    """The class of its options, a frozen dataclass; without arguments the published defaults."""
    title: str
    """What it is called in tables and figures."""
    access: Access = "white"
    """What it is given of the victim."""
    goal: Literal["targeted", "untargeted"] = "targeted"
    """Whether it is handed target codes, or `Goal.untargeted()`."""
    needs: frozenset[Need] = frozenset({"gradients"})
    """What it cannot do without."""
    baseline: bool = False
    """Whether it is a published method that others are compared with."""
    demo: bool = False
    """Whether the demo shows it."""
    version: int = 1
    """Changes when its results change: results of other versions are computed anew."""

    @property
    def summary(self) -> str:
        """The first line of what the function says of itself."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


def most_steps(options: Any) -> int:
    """Steps of each query and start at most; 0 for an attack that takes none.

    Example:
        >>> from hashprobe.attacks import BitMarginOptions, DhtaOptions
        >>> most_steps(DhtaOptions()), most_steps(BitMarginOptions()), most_steps(None)
        (2000, 50, 0)
    """
    steps = getattr(options, "steps", 0)
    return MOST_STEPS if steps is None else int(steps)


def check_start(start: str) -> None:
    """Refuses a start that is neither random nor clean."""
    if start not in get_args(Start):
        raise HashprobeError(f"start must be random or clean; got {start!r}")


def check_descent(steps: int, step_size: float, alpha: float | None) -> None:
    """Refuses options of a gradient attack that make no sense.

    Raises:
        HashprobeError: steps below 1, a step size or an alpha that is not above 0.
    """
    check_whole("steps", steps)
    if not 0 < step_size < float("inf"):
        raise HashprobeError(f"step_size must be above 0; got {step_size}")
    if alpha is not None and not 0 < alpha < float("inf"):
        raise HashprobeError(f"alpha must be above 0, or left out for the schedule; got {alpha}")
