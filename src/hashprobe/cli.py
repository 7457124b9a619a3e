"""The command line: parse, call, print. Commands are imported when they run, not before."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from hashprobe.errors import HashprobeError
from hashprobe.files import os_error


COMMANDS = {
    "demo": "Run the whole audit on the bundled digits and write its report.",
    "train": "Train a hashing network into a run folder.",
    "encode": "Encode the queries and the database of a run, and print its MAP.",
    "attack": "Attack queries of a run and measure how far its results move.",
    "evaluate": "Score anybody's codes from an .npz file.",
    "report": "Write a run's report as one HTML page.",
}

app = App(
    name="hashprobe",
    help="How far an adversary can move the results of hashing-based retrieval.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
)
for name, text in COMMANDS.items():
    app.command(f"hashprobe.commands.{name}:{name}", name=name, help=text)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Path | None = None,
    debug: bool = False,
) -> object:
    """How far an adversary can move the results of hashing-based retrieval.

    Parameters
    ----------
    config
        A YAML recipe: options by command, which the command line overrides.
    debug
        Show the traceback of an error.
    """
    if config is not None:
        from cyclopts.config import Yaml

        if not config.is_file():
            raise HashprobeError(f"no such recipe: {config}")
        app.config = (Yaml(config, search_parents=False),)
    try:
        return app(tokens, exit_on_error=False, print_error=False)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        sys.exit(explain(error))
    finally:
        app.config = ()


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


def main() -> None:
    """The entry point of the `hashprobe` script."""
    try:
        app.meta(exit_on_error=False, print_error=False)
    except (HashprobeError, CycloptsError, KeyboardInterrupt) as error:
        sys.exit(explain(error))
