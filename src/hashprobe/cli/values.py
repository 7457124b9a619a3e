"""What holds for the values of all options, whether words or a recipe gave them."""

import math
import os
import re
from pathlib import Path
from typing import Any, get_args, get_origin

from cyclopts import UNSET

from hashprobe.errors import HashprobeError


WHOLE = re.compile(r"[+-]?([0-9][0-9_]*|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+)", re.IGNORECASE)

LARGEST = 1e20
"""Whole numbers beyond it are no number of anything; seeds have their own bound."""


def check_values(_: Any, commands: tuple[str, ...], arguments: Any) -> None:
    """The last source of options: refuses values that would be read as something else.

    Paths may begin with ~, are not empty and hold no NUL; whole numbers have no fraction; other
    numbers are finite. Each argument of cyclopts holds the words of its value.

    Raises:
        HashprobeError: another value; option, value and what is accepted are named.
    """
    for argument in arguments:
        kinds = set(kinds_of(argument.hint))
        for place, token in enumerate(argument.tokens):
            if token.implicit_value is not UNSET:
                continue  # null in a recipe, or an option without a value
            name = token.keyword or argument.name
            if Path in kinds:
                argument.tokens[place] = token.evolve(value=path_text(name, token.value))
            elif argument.parameter.converter is None and kinds & {int, float}:
                check_number(name, token.value, kinds)


def kinds_of(hint: Any) -> list[Any]:
    """The types in a hint such as `int | None` or `tuple[int, ...]`."""
    if get_origin(hint) is None:
        return [hint]
    return [kind for part in get_args(hint) for kind in kinds_of(part)]


def path_text(name: str, text: str) -> str:
    """A path with the home folder for ~.

    Example:
        >>> path_text("--root", "")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: --root is an empty path: name a file or folder, or . for \
this folder
    """
    if not text.strip():
        raise HashprobeError(
            f"{name} is an empty path: name a file or folder, or . for this folder"
        )
    if "\0" in text:
        raise HashprobeError(f"{name} holds a NUL byte, which no path has; got {text!r:.80}")
    return os.path.expanduser(text)


def check_number(name: str, text: str, kinds: set[Any]) -> None:
    """Refuses a fraction for a whole number, and infinity and NaN for any.

    Example:
        >>> check_number("--top", "2.5", {int, type(None)})
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: --top must be a whole number; got 2.5
    """
    try:
        value = float(text)
    except ValueError:
        return  # no number at all, which cyclopts refuses; or None, which it takes
    if float not in kinds and not WHOLE.fullmatch(text.strip()):
        raise HashprobeError(f"{name} must be a whole number; got {text:.80}")
    if not math.isfinite(value):
        raise HashprobeError(f"{name} must be a finite number; got {text:.80}")
    if float not in kinds and abs(value) > LARGEST and not name.endswith("seed"):
        raise HashprobeError(f"{name} must be at most 10^20; got {text:.80}")
