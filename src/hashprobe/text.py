"""Text from outside, such as names of files and labels, in a form that can be shown; a leaf."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and newline, marks of the writing direction, undecodable bytes."""
UNDECODABLE = re.compile("[\ud800-\udfff]")
"""Python's stand-ins for the bytes of a file name that are not UTF-8."""


def visible(text: str) -> str:
    r"""Text with control characters and undecodable bytes as escapes: a terminal obeys none of it.

    Args:
        text: any text; tabs and newlines stay.

    Returns:
        The same where there are no such characters.

    Example:
        >>> print(visible("red \x1b[31m"), visible("caf\udce9"))
        red \x1b[31m caf\xe9
    """
    return HIDDEN.sub(escaped, text)


def writable(text: str) -> bytes:
    r"""The UTF-8 of a text for people, with undecodable bytes as escapes.

    Args:
        text: any text.

    Example:
        >>> writable("caf\udce9")
        b'caf\\xe9'
    """
    return UNDECODABLE.sub(escaped, text).encode()


def restorable(text: str) -> bytes:
    r"""The UTF-8 of JSON text, with undecodable bytes as escapes that JSON reads back.

    Args:
        text: JSON.

    Example:
        >>> import json
        >>> json.loads(restorable('"caf\udce9"')) == "caf\udce9"
        True
    """
    return text.encode("utf-8", "backslashreplace")


def name_bytes(name: str) -> bytes:
    r"""The bytes of a file name, for digests: its UTF-8, with undecodable bytes as they were.

    Args:
        name: a name as Python reads it from a folder.

    Example:
        >>> name_bytes("caf\udce9")
        b'caf\xe9'
    """
    return name.encode("utf-8", "surrogateescape" if UNDECODABLE.search(name) else "strict")


def without_password(text: str) -> str:
    """Text in which addresses name a user and a host, and no password.

    Args:
        text: such as a command.

    Example:
        >>> without_password("--database postgresql://me:secret@host/db/t?codes=c")
        '--database postgresql://me:***@host/db/t?codes=c'
    """
    return re.sub(r"(\w+://[^/@\s:]*):[^@\s]*@", r"\1:***@", text)


def shortened(text: str, most: int = 2000) -> str:
    """Text with its middle left out where it is long.

    Args:
        text: any text.
        most: most characters that are kept.

    Example:
        >>> shortened("a" * 100, 20)
        'aaaaaaa ... aaaaaaaa'
    """
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return f"{text[:half]} ... {text[len(text) - (most - 5 - half) :]}"


def escaped(found: re.Match[str]) -> str:
    """One character as an escape; an undecodable byte as that byte."""
    code = ord(found[0])
    code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is meant by a misspelt one; None where none is near.

    Of several that are near, one of the same letters comes first: two of them changed places.

    Args:
        word: as it was written.
        known: what it could be.

    Example:
        >>> nearest("dtha", ["sdha", "dhta"]), nearest("xyz", ["dhta"])
        ('dhta', None)
    """
    close = get_close_matches(word, list(known), 3)
    return min(close, key=lambda each: sorted(each) != sorted(word), default=None)
