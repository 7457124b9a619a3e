"""JSON read strictly: nothing that JSON does not know, or that readers disagree about."""

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hashprobe.errors import HashprobeError


__all__ = ["parse_json", "shown_short"]

MAX_DEPTH = 100
"""Most brackets that may be open at once."""
MAX_DIGITS = 100
"""Digits of the longest whole number."""
HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of characters; those that are left out stand for bytes of a file name that is no UTF-8."""


def parse_json(data: bytes, name: str | PurePath) -> Any:
    """The value in some JSON, without what JSON does not know or readers disagree about.

    Args:
        data: the bytes, in UTF-8.
        name: the file, for errors.

    Raises:
        HashprobeError: no JSON or cut off; NaN or Infinity; a key that stands there twice; a
            number of more than 100 digits or beyond the range of floats; more than 100 levels;
            half of a character.

    Example:
        >>> parse_json(b'{"seed": 1, "seed": 2}', "run.json")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: run.json is damaged: 'seed' stands in one object twice
    """
    if not data.strip():
        raise HashprobeError(f"{name} is no JSON: it is empty")
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(
            text,
            object_pairs_hook=without_doubles,
            parse_int=short_number,
            parse_float=finite_number,
            parse_constant=no_number,
        )
    except HashprobeError as error:
        raise HashprobeError(f"{name} is damaged: {error}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise HashprobeError(f"{name} is no JSON or was cut off: {where}") from error
    except UnicodeDecodeError as error:
        raise HashprobeError(f"{name} is no JSON: byte {error.start + 1} is no UTF-8") from error
    except RecursionError as error:
        raise HashprobeError(f"{name} is no JSON of ours: its brackets are too deep") from error
    # Only an escape can hold half of a character.
    if re.search(r"\\u[dD][89a-fA-F]", text) and HALF.search(json.dumps(value, ensure_ascii=False)):
        raise HashprobeError(f"{name} is damaged: it holds half of a character")
    if deeper_than(value, MAX_DEPTH):
        raise HashprobeError(f"{name} is no JSON of ours: its brackets are too deep")
    return value


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; refuses a key that stands there twice, where readers take one or the other."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise HashprobeError(f"{shown_short(twice)} stands in one object twice")
    return result


def short_number(text: str) -> int:
    """A whole number; refuses one that is longer than any of ours."""
    if len(text) > MAX_DIGITS:
        raise HashprobeError(f"it holds a number of {len(text):,} digits")
    return int(text)


def finite_number(text: str) -> float:
    """A number with a point or an exponent; refuses what a float cannot hold."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise HashprobeError(f"{text[:20]} is beyond the range of numbers")
    return value


def no_number(text: str) -> float:
    """Refuses NaN and Infinity, which JSON does not know."""
    raise HashprobeError(f"it holds {text}, which JSON does not know")


def deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and objects lie in each other more than some levels deep."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(depth):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [x for part in inner for x in part if isinstance(x, dict | list)]
    return bool(level)


def shown_short(value: object) -> str:
    """A value in a sentence, cut to one short line.

    Args:
        value: anything.

    Example:
        >>> shown_short({"a": 1}), shown_short([1, 2]), shown_short(None), shown_short("a" * 99)
        ('an object', 'a list', 'null', "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str) and len(value) > 41:
        value = value[:38] + "..."
    text = ascii(value) if isinstance(value, str) else f"{value}"
    return text if len(text) < 60 else text[:57] + "..."
