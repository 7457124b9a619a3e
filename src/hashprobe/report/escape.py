"""Names of anybody's choosing in Markdown and in tables of numbers: they stay text."""

import re

from hashprobe.text import visible


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""


def in_markdown(text: str) -> str:
    """A text that stays text in a cell of a table in Markdown.

    Args:
        text: such as the name of an attack or a class.

    Example:
        >>> print(in_markdown("a|b <i>"))
        a\\|b &lt;i&gt;
    """
    flat = " ".join(visible(text).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", flat)


def in_csv(text: str) -> str:
    """A text that no spreadsheet takes for a formula; numbers stay numbers.

    Args:
        text: the content of a cell.

    Example:
        >>> in_csv("=1+1"), in_csv("-0.5"), in_csv("DHTA")
        ("'=1+1", '-0.5', 'DHTA')
    """
    safe = visible(text)
    if not text.startswith(FORMULA) or re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?", text):
        return safe
    return f"'{safe}"
