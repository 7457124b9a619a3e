"""The command line: parses words, calls a command, prints. A command is imported when it runs."""

import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

import hashprobe
from hashprobe.cli.flags import Flag
from hashprobe.cli.garbage import collecting_later
from hashprobe.cli.layout import Layout
from hashprobe.cli.output import say
from hashprobe.cli.signals import Stopped, by_worker, end_silently, stopping_signals
from hashprobe.cli.threads import waiting_patiently
from hashprobe.cli.values import check_values, path_text
from hashprobe.errors import HashprobeError
from hashprobe.progress import interruption
from hashprobe.text import nearest, shortened


if TYPE_CHECKING:
    from cyclopts.config import Dict


HELP = "How far an adversary can move the results of hashing-based retrieval."
COMMANDS = {
    "audit": "Measure what an adversary can do to a network and its database.",
    "demo": "Run everything on bundled pictures and write the report.",
    "train": "Train a hashing network into a run folder.",
    "harden": "Train the network of a run on against attacks.",
    "encode": "Encode the queries and the database of a run, and print its MAP.",
    "attack": "Attack queries of a run and measure how far its results move.",
    "compare": "Put runs through the same attacks: what a defence is worth.",
    "certify": "Bound what any attack within an l2 norm can do, beside what attacks do.",
    "transfer": "Craft on each victim, show the pictures to all others, and print the matrix.",
    "check": "Compare a network's codes with those that are stored, and find what differs.",
    "fit-binariser": "Fit what makes bits of a network's floats.",
    "push": "Store codes in a table of Postgres that can be searched.",
    "evaluate": "Score codes from an .npz file.",
    "leaderboard": "Measure victims by a fixed protocol, and render the leaderboard.",
    "report": "Write a run's report as one HTML page.",
    "reproduce": "Reproduce tables and figures of the DHTA paper.",
}


def build_app() -> App:
    """A new command line, with the attacks that are registered when a command asks for them."""
    app = App(
        name="hashprobe",
        help=HELP,
        help_format="plaintext",
        help_formatter=Layout(),
        version=lambda: hashprobe.__version__,
        version_flags=["--version"],
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, text in COMMANDS.items():
        place = name.replace("-", "_")
        app.command(f"hashprobe.cli.{place}:{place}", name=name, help=text)

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Path | None = None,
        debug: Flag = False,
    ) -> object:
        """Parse and run one command.

        Parameters
        ----------
        config
            A YAML recipe: options by command. Options on the command line override it.
        debug
            Show the traceback of an error.
        """
        try:
            check_command(tokens)
            app.config = (
                *([] if config is None else [read_recipe(config)]),
                fill_preset,
                check_values,
            )
            result = app(tokens, exit_on_error=False, print_error=False)
            sys.stdout.flush()
            return result
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                say(traceback.format_exc(), error=True, end="")
            sys.exit(explain(error))

    return app


def check_command(tokens: Sequence[str]) -> None:
    """Refuses an unknown command before any command is imported.

    Raises:
        HashprobeError: no such command, or no such attack; the nearest name is suggested.
    """
    if not tokens or tokens[0].startswith("-"):
        return
    if tokens[0] not in COMMANDS:
        raise HashprobeError(
            f"unknown command {tokens[0]!r}. {suggest(tokens[0], COMMANDS)}"
            f"Commands are {', '.join(COMMANDS)}; hashprobe --help explains them"
        )
    if tokens[0] == "attack" and len(tokens) > 1 and not tokens[1].startswith("-"):
        from hashprobe.cli.attack import check_name

        check_name(tokens[1], tokens[2:])


def suggest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    """A question that names the known word nearest to a word; empty if none is near.

    Example:
        >>> suggest("tain", COMMANDS)
        'Did you mean "train"? '
    """
    close = nearest(word, known)
    return f'Did you mean "{close}"? ' if close else ""


def read_recipe(path: Path) -> "Dict":
    """A YAML recipe as a source of options; each command refuses keys that it does not know.

    Raises:
        HashprobeError: the file is missing or not plain YAML, or a section is not a command.
    """
    from cyclopts.config import Dict

    from hashprobe.storage.files import read_bytes
    from hashprobe.storage.plain_yaml import parse_yaml

    path = Path(path_text("--config", str(path)))
    if not path.exists():
        raise HashprobeError(f"no such recipe: {path}")
    content = parse_yaml(read_bytes(path), str(path))
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise HashprobeError(f"{path} must hold options by command; got {content!r:.40}")
    for section in content:
        if section not in COMMANDS:
            raise HashprobeError(
                f"{path} has a section {section!r:.80}: sections are {', '.join(COMMANDS)}"
            )
    return Dict(content, source=str(path))


def fill_preset(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """The last source of options: values of a preset for options that have none yet."""
    if commands[:1] == ("attack",):
        from hashprobe.cli import attack

        attack.preset_options(app, commands, arguments)
    if commands[:1] == ("train",):
        from hashprobe.cli import train

        train.preset_options(app, commands, arguments)


def explain(error: BaseException) -> int:
    """Prints in one line what went wrong, and returns the exit code."""
    if isinstance(error, BrokenPipeError):
        return end_silently()
    if by_worker(error):
        error = Stopped(signal.SIGTERM)
    from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

    if isinstance(error, KeyboardInterrupt):
        say(f"interrupted: {interruption(error)}", error=True)
        return error.code if isinstance(error, Stopped) else 130
    if isinstance(error, OSError) and not isinstance(error, HashprobeError):
        from hashprobe.storage.files import os_error

        error = os_error(error, str(error.filename or "a file"))
    if isinstance(error, MissingArgumentError) and error.argument and error.keyword is None:
        command = " ".join(error.command_chain or ())
        error = HashprobeError(
            f"{command} needs {error.argument.name}: hashprobe {command} --help explains it"
        )
    if isinstance(error, UnusedCliTokensError):
        words = ", ".join(map(repr, error.unused_tokens or ()))
        error = HashprobeError(
            f"unexpected {words}: hashprobe COMMAND --help shows what a command takes, "
            "and in which order"
        )
    if isinstance(error, HashprobeError | CycloptsError):
        say("error: " + shortened(" ".join(str(error).split())), error=True)
        return 2
    if isinstance(error, MemoryError):
        say("error: out of memory: choose a smaller --batch-size", error=True)
        return 2
    text = shortened(" ".join(str(error).split()))
    say(f"error: {type(error).__name__}: {text} (--debug shows where)", error=True)
    return 1


def main(tokens: Sequence[str] | None = None) -> None:
    """The entry point of the `hashprobe` script.

    Args:
        tokens: the words after `hashprobe`; None for those of this process.

    Raises:
        SystemExit: 2 for a mistake of the user, 130 for Ctrl-C, 143 for SIGTERM, 141 where nobody
            reads the output, 1 for any other error.

    Example:
        >>> main(["--version"])
        0.1.0
    """
    with waiting_patiently(), stopping_signals(), collecting_later():
        try:
            build_app().meta(tokens, exit_on_error=False, print_error=False)
            sys.stdout.flush()
        except (CycloptsError, KeyboardInterrupt, OSError) as error:
            sys.exit(explain(error))
        except SystemExit as end:
            # What draws help and progress ends the process by itself where nobody reads it.
            if isinstance(end.__context__, BrokenPipeError):
                sys.exit(end_silently())
            raise
