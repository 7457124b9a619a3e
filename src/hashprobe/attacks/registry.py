"""Every attack by its name: the only place that knows which there are."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any

from hashprobe.attacks.contract import Attack
from hashprobe.checked import checked, shown
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import jsonable
from hashprobe.types import Budget, check_seed


MODULES = (
    "_noise", "_p2p", "_dhta", "_bit_margin", "_reach", "_tha", "_prosgan", "_mainstay", "_pta",
    "_nag", "_feature", "_hag", "_sdha", "_cgat", "_worst_code", "_square", "_nes",
)  # fmt: skip
"""The files of the attacks, each with an `ATTACK`, or with `ATTACKS` where a method has a targeted
and an untargeted form, in the order in which tables show them."""
DEFAULT = "bit-margin"
"""The attack that is meant where none is named."""

_known: dict[str, Attack] = {}
ATTACKS: Mapping[str, Attack] = MappingProxyType(_known)
"""Every attack by name, in the order in which tables show them."""


@checked
def register(attack: Attack) -> Attack:
    """Makes an attack known to commands, reports and recipes.

    Args:
        attack: its name must be new.

    Returns:
        The same.

    Raises:
        HashprobeError: another attack has the name.

    Example:
        >>> register(ATTACKS["dhta"]) is ATTACKS["dhta"]
        True
    """
    if _known.get(attack.name, attack) != attack:
        raise HashprobeError(f"there is an attack {attack.name!r} already: choose another name")
    _known[attack.name] = attack
    return attack


def unregister(name: str) -> None:
    """Takes an attack back."""
    del _known[name]


def attack_named(name: str) -> Attack:
    """The attack of a name.

    Raises:
        HashprobeError: there is none; the known ones are named.

    Example:
        >>> attack_named("p2p").baseline
        True
    """
    if name not in ATTACKS:
        raise HashprobeError(
            f"unknown attack {shown(name)}: choose from {', '.join(sorted(ATTACKS))}"
        )
    return ATTACKS[name]


@checked
@dataclass(frozen=True)
class AttackSpec:
    """What was asked of an attack: all that decides on its result beside victim and queries.

    Raises:
        HashprobeError: an unknown name, options of another attack, or a seed out of range.

    Example:
        >>> spec = AttackSpec("noise", budget=Budget(8 / 255))
        >>> spec.to_json()["attack"], spec.attack.goal
        ('noise', 'untargeted')
    """

    name: str = DEFAULT
    """A name from `ATTACKS`; of a function that is not registered, where it is defined."""
    options: Any = None
    """The attack's options; None for the published defaults."""
    budget: Budget = field(default_factory=Budget)
    """How far a pixel may move."""
    seed: int = 0
    """From 0 to 2^63 - 1; with the query ids it decides on what is random."""
    function: Callable[..., Any] | None = field(default=None, compare=False)
    """The attack itself where it is not registered."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.function is not None:
            return
        known = attack_named(self.name)
        if self.options is None:
            object.__setattr__(self, "options", known.options())
        if not isinstance(self.options, known.options):
            seen = type(self.options).__name__
            raise HashprobeError(f"attack {self.name} takes {known.options.__name__}; got {seen}")

    @classmethod
    @checked
    def of(cls, attack: str | Callable[..., Any], options: Any = None, **more: Any) -> "AttackSpec":
        """The spec of a name, or of a function that is not registered.

        Args:
            attack: a name from `ATTACKS`, or an `AttackFunction`.
            options: the attack's options; None for the published defaults.
            more: `budget` and `seed`.
        """
        if isinstance(attack, str):
            return cls(attack, options, **more)
        check_called(attack)
        inner = inspect.unwrap(getattr(attack, "func", attack))
        where = getattr(inner, "__qualname__", type(inner).__qualname__)
        module = getattr(inner, "__module__", type(inner).__module__)
        return cls(f"{module}.{where}", options, function=attack, **more)

    @property
    def attack(self) -> Attack:
        """The attack itself."""
        if self.function is not None:
            title = str(getattr(self.function, "title", self.name))
            return Attack(self.name, self.function, type(self.options), title, needs=frozenset())
        return attack_named(self.name)

    @property
    def shown(self) -> str:
        """What users are told of it: its name, or the `title` of a function of their own."""
        return self.name if self.function is None else self.attack.title

    def to_json(self) -> dict[str, Any]:
        """The one form in which a spec goes into files."""
        record: dict[str, Any] = jsonable(
            {
                "attack": self.name,
                "attack_version": self.attack.version,
                "options": written(self.options),
                "budget": self.budget.to_json(),
                "seed": self.seed,
            }
        )
        bound = bound_to(self.function)
        return {**record, "bound": bound} if bound else record


def check_called(attack: Callable[..., Any]) -> None:
    """Refuses a function that cannot be called as an `AttackFunction` is."""
    named = ("budget", "options", "seed", "runtime")
    if isinstance(attack, type):
        raise HashprobeError(f"an attack is a name or a function; got {shown(attack)}")
    try:
        # A module takes whatever its own forward takes.
        inspect.signature(getattr(attack, "forward", attack)).bind(
            None, None, None, **dict.fromkeys(named)
        )
    except TypeError as error:
        raise HashprobeError(
            "an attack is called as attack(victim, queries, goal, budget=, options=, seed=, "
            f"runtime=); {shown(attack)} cannot be: {error}"
        ) from error
    except ValueError:
        return  # a function of C, which does not say


def bound_to(function: Any) -> list[str]:
    """What a function of one's own holds fast: arguments of a partial, or fields of a dataclass.

    Example:
        >>> from functools import partial
        >>> bound_to(partial(print, 1, end="")), bound_to(print)
        (['1', "end=''"], [])
    """
    held: list[str] = []
    while isinstance(function, partial):
        held += map(repr, function.args)
        held += [f"{name}={value!r}" for name, value in sorted(function.keywords.items())]
        function = function.func
    if is_dataclass(function) and not isinstance(function, type):
        held += [f"{one.name}={getattr(function, one.name)!r}" for one in fields(function)]
    return held


def written(options: Any) -> Any:
    """Options without those that came later and have their default."""
    record = jsonable(options)
    if is_dataclass(options):
        for one in fields(options):
            if one.metadata.get("later") and record[one.name] == one.default:
                del record[one.name]
    return record


for module in MODULES:
    found = import_module(f"hashprobe.attacks.{module}")
    # A method that has a targeted and an untargeted form gives both.
    for each in getattr(found, "ATTACKS", ()) or (found.ATTACK,):
        register(each)
