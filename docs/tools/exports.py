"""Tells the reference which names a package exports, and that examples are code.

The packages load their names lazily, so what they export is listed in stubs, `__init__.pyi`. This
extension of griffe reads the stubs: the reference shows exactly the exported names.
"""

import ast
import re
from pathlib import Path
from typing import Any

import griffe


class Exports(griffe.Extension):
    """Marks what `__init__.pyi` lists as public."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Goes over a package once it is loaded."""
        go_over(pkg)


def go_over(thing: griffe.Object) -> None:
    """Marks the exports of packages; the doctests after `Example:` become code."""
    if thing.is_module and isinstance(thing.filepath, Path):
        stub = thing.filepath.with_suffix(".pyi")
        if thing.filepath.name == "__init__.py" and stub.is_file():
            thing.exports = exported(stub)
    if thing.docstring:
        thing.docstring.value = re.sub(
            r"^Example:$", "Examples:", thing.docstring.value, flags=re.M
        )
    for member in thing.members.values():
        if not member.is_alias:
            go_over(member)


def exported(stub: Path) -> list[str]:
    """The names of `from .module import name as name`; packages have pages of their own."""
    lines = [line for line in ast.parse(stub.read_text()).body if isinstance(line, ast.ImportFrom)]
    return [name.asname or name.name for line in lines if line.module for name in line.names]
