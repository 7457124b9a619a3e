"""What the registries of defences share: a class by its name, and its options."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from hashprobe.checked import shown
from hashprobe.errors import HashprobeError


def class_named(kind: str, known: Mapping[str, str], name: str) -> type[Any]:
    """The class of a name, imported when it is asked for.

    Args:
        kind: what a message calls it.
        known: `module:class` by name.
        name: one of them.

    Raises:
        HashprobeError: an unknown name.

    Example:
        >>> class_named("thing", {"fraction": "fractions:Fraction"}, "fraction")(1, 2)
        Fraction(1, 2)
    """
    if name not in known:
        raise HashprobeError(f"unknown {kind} {shown(name)}: choose from {', '.join(known)}")
    module, _, found = known[name].partition(":")
    made: type[Any] = getattr(import_module(module), found)
    return made


def made_named(kind: str, known: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    """An instance of the dataclass of a name, with its options; arguments as for `class_named`.

    Raises:
        HashprobeError: an unknown name or option, or a value that is out of range.
    """
    made = class_named(kind, known, name)
    check_options(name, made, options)
    return made(**options)


def check_options(name: str, made: type[Any], options: Iterable[str]) -> None:
    """Refuses options that are no fields of a dataclass."""
    there = [field.name for field in fields(made)]
    for option in options:
        if option not in there:
            choices = f"choose from {', '.join(there)}" if there else "it has none"
            raise HashprobeError(f"{name} has no option {shown(option)}: {choices}")
