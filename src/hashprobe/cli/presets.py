"""Fills in the options of a preset that neither command line nor recipe set."""

from collections.abc import Mapping
from typing import Any

from cyclopts import App
from cyclopts.config import Dict


def fill(
    app: App, commands: tuple[str, ...], arguments: Any, presets: Mapping[str, Mapping[str, Any]]
) -> None:
    """Gives options that are not set their values of the chosen preset.

    Args:
        app: as cyclopts hands it to a source of options, like commands and arguments.
        commands: see app.
        arguments: see app.
        presets: options by preset; options that a command does not have are ignored.
    """
    chosen = [argument for argument in arguments if argument.name == "--preset" and argument.tokens]
    name = chosen[0].tokens[0].value if chosen else ""
    if name not in presets:
        return  # no preset, or an unknown one, which the command refuses
    source = Dict(
        dict(presets[name]),
        source=f"preset {name}",
        use_commands_as_keys=False,
        allow_unknown=True,
    )
    source(app, commands, arguments)


def non_defaults(options: Any) -> dict[str, Any]:
    """The options of a dataclass that differ from its defaults.

    Example:
        >>> from hashprobe.types import InputContract
        >>> non_defaults(InputContract(size=32))
        {'size': 32}
    """
    defaults = type(options)()
    names = options.__dataclass_fields__
    return {n: getattr(options, n) for n in names if getattr(options, n) != getattr(defaults, n)}
