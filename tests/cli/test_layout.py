"""The layout of help pages."""

import pytest


@pytest.mark.parametrize("width", ["60", "100", "200"])
def test_help_texts_fill_the_width_of_the_terminal(hashprobe, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    said = hashprobe("train --help").out
    assert max(map(len, said.splitlines())) <= int(width)
    # A sentence that the source wraps in another place.
    text = " ".join(line.strip("│ ") for line in said.splitlines())
    assert "a whole number, or a share below 1 (folder" in " ".join(text.split())
