"""Records in JSON: read strictly, and checked against a type before anything uses them.

msgspec checks types: frozen dataclasses and typed dictionaries say what a file must hold. Its
errors become one line that names the file, the field, what was seen and what is wanted.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_json
from hashprobe.storage.strict_json import shown_short


__all__ = ["Count", "Name", "as_record", "read_record", "record_in"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A whole number from 0 that fits into 64 bits."""
Name = Annotated[str, msgspec.Meta(min_length=1)]
"""Text of one character or more."""

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
"""What msgspec calls a type, and what users do."""
EXPECTED = re.compile(r"Expected `([^`]*)`(?: of length (>=|<=)? ?(\d+)| (>=|<=|>|<) (\S+))?")
STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
SIGNS = {">=": "or more", "<=": "or less"}


def read_record(path: str | PurePath, kind: Any) -> Any:
    """A JSON file as a value of some type.

    Args:
        path: the file.
        kind: a dataclass, a typed dictionary, or another type that JSON can hold.

    Returns:
        The value; fields that the type does not know are left out.

    Raises:
        HashprobeError: as `read_json`, or a field that is missing or of another type.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "checksums.json"
        >>> size = path.write_text('{"codes/query.npz": 7}')
        >>> read_record(path, dict[str, str])
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... is damaged: codes/query.npz must be text; got 7
    """
    return record_in(path, read_json(path), kind)


def record_in(path: str | PurePath, value: Any, kind: Any) -> Any:
    """A value that was read from a file as a value of some type; errors name the file."""
    try:
        return as_record(value, kind)
    except HashprobeError as error:
        raise HashprobeError(f"{path} is damaged: {error}") from error


def as_record(value: Any, kind: Any, where: str = "", *, closed: bool = False) -> Any:
    """A value out of JSON as a value of some type.

    Args:
        value: None, bool, int, float, text, and lists and objects of these.
        kind: a dataclass, a typed dictionary, or another type that JSON can hold.
        where: the dotted name of the value in its file, for errors.
        closed: whether fields that the type does not know are refused.

    Returns:
        The value; fields that the type does not know are left out.

    Raises:
        HashprobeError: a field that is missing, unknown or of another type, or what a dataclass
            itself refuses; the field is named.

    Example:
        >>> from hashprobe.types import Budget
        >>> as_record({"eps": 1, "frames": 3}, Budget)
        Budget(eps=1.0, space='pixel', frames=3, shared=False)
        >>> as_record({"eps": 1, "frames": "all"}, Budget, "recipe.budget")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: recipe.budget.frames must be a whole number or null; \
got 'all'
    """
    try:
        result = msgspec.convert(value, kind, dec_hook=from_text)
    except msgspec.ValidationError as error:
        raise HashprobeError(in_words(str(error), value, kind, where)) from error
    unknown = sorted(set(value) - set(get_type_hints(kind))) if closed else []
    if unknown:
        raise HashprobeError(f"{dotted(where, unknown[0])} is unknown")
    return result


def from_text(kind: type, value: object) -> Any:
    """Values that JSON holds as text."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError("Expected `str`")  # as msgspec says it, which adds the place


def in_words(message: str, value: Any, kind: Any, where: str) -> str:
    """What msgspec says of a value, with the names of fields and in words."""
    what, _, path = message.partition(" - at `$")
    steps = named_steps(value, kind, path.removesuffix("`"))
    place, seen = where, value
    for step in steps:
        place, seen = dotted(place, step), seen[step]
    here = place or "it"
    if match := re.match(r"Object missing required field `(\w+)`", what):
        return f"{dotted(place, match[1])} is missing"
    wanted = ""
    if what.startswith("Invalid enum value"):
        wanted = " or ".join(map(str, choices_of(kind, steps)))
    if what.startswith("Number out of range"):
        wanted = "a number that a float can hold"
    if match := EXPECTED.match(what):
        wanted = " or ".join(WORDS.get(word, word) for word in match[1].split(" | "))
        wanted += f" of {match[3]} {SIGNS.get(match[2] or '', '')}".rstrip() if match[3] else ""
        wanted += f" {match[4]} {match[5]}" if match[5] else ""
    if not wanted:  # the words of a dataclass that refuses its own values
        return f"{place}: {what}" if place else what
    return f"{here} must be {wanted}; got {shown_short(seen)}"


def named_steps(value: Any, kind: Any, path: str) -> list[Any]:
    """The keys and indices of msgspec's path; the keys of mappings, which it hides, are found."""
    steps: list[Any] = []
    for field, index in STEP.findall(path):
        if index != "...":
            steps.append(field or int(index))
            continue
        parent = value
        for step in steps:
            parent = parent[step]
        # The first key that is refused also where it is the only one.
        wrong = (k for k in parent if refuses(replaced(value, steps, {k: parent[k]}), kind))
        steps.append(next(wrong))
        value = replaced(value, steps[:-1], {steps[-1]: parent[steps[-1]]})
    return steps


def refuses(value: Any, kind: Any) -> bool:
    """Whether a value is not of a type."""
    try:
        msgspec.convert(value, kind, dec_hook=from_text)
    except msgspec.ValidationError:
        return True
    return False


def replaced(value: Any, steps: list[Any], part: Any) -> Any:
    """A copy of a value with another part at some place."""
    if not steps:
        return part
    inner = replaced(value[steps[0]], steps[1:], part)
    if isinstance(value, Mapping):
        return {**value, steps[0]: inner}
    return [*value[: steps[0]], inner, *value[steps[0] + 1 :]]


def choices_of(kind: Any, steps: list[Any]) -> list[Any]:
    """The values that the type at some place lists."""
    if get_origin(kind) in (Union, UnionType, Annotated):
        return [x for part in get_args(kind) for x in choices_of(part, steps)]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if not steps or kind is type(None):
        return []
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__total__"):
        return choices_of(get_type_hints(kind).get(steps[0]), steps[1:])
    return choices_of(get_args(kind)[-1], steps[1:]) if get_args(kind) else []


def dotted(where: str, step: object) -> str:
    """The name of a part of a place."""
    if isinstance(step, int):
        return f"{where}[{step}]"
    return f"{where}.{step}" if where else str(step)
