"""Where two configurations differ; a leaf: standard library alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


_NOTHING = object()


@dataclass(frozen=True)
class Difference:
    """One value that differs between two configurations.

    Example:
        >>> print(Difference("train.bits", 32, 48))
        train.bits: 32 there, 48 here
        >>> print(Difference("queries", "5f1c", "93ab", noun="clean queries"))
        clean queries differ
    """

    name: str
    """Its dotted name."""
    there: Any
    """The value in the configuration that exists."""
    here: Any
    """The value in the configuration that is asked for."""
    noun: str | None = None
    """What to call it if its values say nothing to a reader, such as checksums."""

    def __str__(self) -> str:
        if self.noun is not None:
            return f"{self.noun} differ"
        return f"{self.name}: {shown(self.there)} there, {shown(self.here)} here"


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], nouns: Mapping[str, str] | None = None
) -> list[Difference]:
    """Where two configurations differ; as text, each is one sentence.

    Args:
        there: the one that exists, as JSON.
        here: the one that is asked for, as JSON.
        nouns: top-level names whose values say nothing to a reader, and what they are called.

    Returns:
        Sorted by name, one for each name in `nouns`; empty if the two are equal.

    Example:
        >>> found = differences({"train": {"bits": 32}}, {"train": {"bits": 32, "seed": 1}})
        >>> print(*found, sep="; ")
        train.seed: nothing there, 1 here
    """
    nouns = nouns or {}
    first, second = flat(there, nouns), flat(here, nouns)
    return [
        Difference(name, first.get(name, _NOTHING), second.get(name, _NOTHING), nouns.get(name))
        for name in sorted({*first, *second})
        if shown(first.get(name, _NOTHING)) != shown(second.get(name, _NOTHING))
    ]


def flat(value: Any, nouns: Mapping[str, str], name: str = "") -> dict[str, Any]:
    """Nested objects as one mapping with dotted names; named nouns stay whole."""
    if not isinstance(value, Mapping) or not value or name in nouns:
        return {name: value} if name else {}
    inner = [flat(item, nouns, f"{name}.{key}" if name else key) for key, item in value.items()]
    return {key: item for part in inner for key, item in part.items()}


def shown(value: Any) -> str:
    """A value in a sentence."""
    if value is _NOTHING:
        return "nothing"
    return json.dumps(value, ensure_ascii=False, default=str)
