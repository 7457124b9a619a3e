"""What commands print: progress, and names as they are."""

import io

import pytest
from rich.console import Console

from hashprobe.cli import terminal as screen
from hashprobe.cli.output import say, showable


def test_off_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):

    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    terminal = screen.Terminal()
    terminal.log("[bold] stands as it is")
    with terminal.bar("steps") as tick:
        # 40 of 100 were finished before; 10 more take 31 s.
        tick(40, 100)
        for done, seconds in ((41, 3), (50, 28), (51, 3), (60, 28)):
            now[0] += seconds
            tick(done, 100)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "[bold] stands as it is",
        "steps: 50/100, 155 s left",
        "steps: 60/100, 124 s left",
    ]


NAMES = {
    "d/dog :dog: :+1:": "d/dog :dog: :+1:",
    "[bold]x[/bold] [/]": "[bold]x[/bold] [/]",
    "red \x1b[31m \x9b0m \x07": "red \\x1b[31m \\x9b0m \\x07",
    "caf\udce9": "caf\\xe9",
    "https://example.org 犬": "https://example.org 犬",
}


@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_names_are_shown_as_they_are_in_results_logs_and_bars(monkeypatch, capsys, name, shown):
    say(f"report: {name}")
    say(f"error: {name}", error=True)
    terminal = screen.Terminal()
    terminal.log(name)
    said = capsys.readouterr()
    assert said.out == f"report: {shown}\n"
    assert said.err == f"error: {shown}\n{shown}\n"
    # On a terminal, a bar with the name of a split or of an attack in its title.
    stream = io.StringIO()
    terminal.console = Console(
        file=stream, force_terminal=True, width=120, markup=False, emoji=False, color_system=None
    )
    with terminal.bar(name) as tick:
        tick(1, 2)
    assert shown in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()


def test_a_terminal_without_unicode_shows_escapes():
    assert showable("é 犬 caf\udce9", "ascii") == "\\xe9 \\u72ac caf\\xe9"
    assert showable("é 犬", "latin-1") == "é \\u72ac"
    assert showable("é", None) == "é"


def test_long_errors_keep_both_ends(hashprobe):
    said = hashprobe("train", "x" * 100_000, "--out", "y")
    assert said.error.startswith("xxx") and said.error.endswith("is too long a name")
    assert len(said.err) < 2100


def test_errors_spell_escapes_out(hashprobe, tmp_path):
    error = hashprobe("evaluate", tmp_path / "\x1b[31mred.npz").error
    assert "\x1b" not in error and "\\x1b[31mred.npz does not exist" in error
