"""What `--preset` says and neither command line nor recipe have said."""

from collections.abc import Mapping
from typing import Any

from cyclopts import App
from cyclopts.config import Dict


def fill(
    app: App, commands: tuple[str, ...], arguments: Any, presets: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give the options of the preset that was chosen to those that nobody has set.

    Args:
        app: as cyclopts hands it to a source of options; commands and arguments, too.
        commands: see app.
        arguments: see app.
        presets: options by preset; those that a command does not have are passed over.
    """
    chosen = [argument for argument in arguments if argument.name == "--preset" and argument.tokens]
    name = chosen[0].tokens[0].value if chosen else ""
    if name not in presets:
        return  # none, or one that the command itself will refuse
    source = Dict(
        dict(presets[name]),
        source=f"preset {name}",
        use_commands_as_keys=False,
        allow_unknown=True,
    )
    source(app, commands, arguments)


def unusual(options: Any) -> dict[str, Any]:
    """The options of a record that are not as its class has them.

    Example:
        >>> from hashprobe.types import InputContract
        >>> unusual(InputContract(size=32))
        {'size': 32}
    """
    usual = type(options)()
    names = options.__dataclass_fields__
    return {n: getattr(options, n) for n in names if getattr(options, n) != getattr(usual, n)}
