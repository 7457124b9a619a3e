"""The command line: parse, call, print. Commands are imported when they run, not before."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import os_error


if TYPE_CHECKING:
    from cyclopts.config import Dict


COMMANDS = {
    "demo": "Run the whole audit on the bundled digits and write its report.",
    "train": "Train a hashing network into a run folder.",
    "encode": "Encode the queries and the database of a run, and print its MAP.",
    "attack": "Attack queries of a run and measure how far its results move.",
    "evaluate": "Score anybody's codes from an .npz file.",
    "report": "Write a run's report as one HTML page.",
    "reproduce": "Reproduce tables and figures of the DHTA paper.",
}

app = App(
    name="hashprobe",
    help="How far an adversary can move the results of hashing-based retrieval.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for name, text in COMMANDS.items():
    app.command(f"hashprobe.cli.{name}:{name}", name=name, help=text)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Path | None = None,
    debug: Annotated[bool, Parameter(negative=())] = False,
) -> object:
    """How far an adversary can move the results of hashing-based retrieval.

    Parameters
    ----------
    config
        A YAML recipe: options by command, which the command line overrides.
    debug
        Show the traceback of an error.
    """
    try:
        app.config = (*([] if config is None else [read_recipe(config)]), fill_preset)
        return app(tokens, exit_on_error=False, print_error=False)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        sys.exit(explain(error))
    finally:
        app.config = ()


def read_recipe(path: Path) -> "Dict":
    """A YAML recipe as a source of options; a key that a command does not know is refused there.

    Raises:
        HashprobeError: no such file, no plain YAML, or a section that is no command.
    """
    import yaml  # type: ignore[import-untyped]
    from cyclopts.config import Dict

    if not path.is_file():
        raise HashprobeError(f"no such recipe: {path}")
    try:
        content = yaml.safe_load(path.read_bytes()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HashprobeError(f"{path} is no plain YAML: {error}") from error
    if not isinstance(content, dict):
        raise HashprobeError(f"{path} must hold options by command; got {content!r:.40}")
    for section in content:
        if section not in COMMANDS:
            raise HashprobeError(
                f"{path} has a section {section!r}: sections are {', '.join(COMMANDS)}"
            )
    return Dict(content, source=str(path))


def fill_preset(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """The last source of options: what a preset says and nobody else has said."""
    if commands[:1] == ("attack",):
        from hashprobe.cli import attack

        attack.preset_options(app, commands, arguments)
    if commands[:1] == ("train",):
        from hashprobe.cli import train

        train.preset_options(app, commands, arguments)


def explain(error: BaseException) -> int:
    """Say in one line what went wrong; the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("interrupted: what was finished is kept, the same command goes on", file=sys.stderr)
        return 130
    if isinstance(error, OSError) and not isinstance(error, HashprobeError):
        error = os_error(error, str(error.filename or "a file"))
    if isinstance(error, HashprobeError | CycloptsError):
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    if isinstance(error, MemoryError):
        print("error: out of memory: choose a smaller --batch-size", file=sys.stderr)
        return 2
    text = " ".join(str(error).split())
    print(f"error: {type(error).__name__}: {text} (--debug shows where)", file=sys.stderr)
    return 1


def main(tokens: Sequence[str] | None = None) -> None:
    """The entry point of the `hashprobe` script.

    Args:
        tokens: the words after `hashprobe`; by default those that the process was started with.

    Raises:
        SystemExit: 2 for a mistake of the user, 130 for Ctrl-C, 1 for anything else.
    """
    try:
        app.meta(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sys.exit(explain(error))
