"""Names from outside, as they are shown and written."""

import json

import pytest

from hashprobe.text import name_bytes, restorable, shortened, visible, writable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 犬, 👩\u200d🚀", "plain, é, 犬, 👩\u200d🚀"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("back\rhidden\x7f", "back\\x0dhidden\\x7f"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        (":dog: [bold]x[/bold]", ":dog: [bold]x[/bold]"),
    ],
)
def test_control_characters_and_undecodable_bytes_become_visible(text, shown):
    assert visible(text) == shown
    shown.encode()


def test_undecodable_names_can_be_written_and_come_back_from_json():
    name = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    assert writable(name) == b"caf\\xe9 \\xff"
    assert name_bytes(name) == b"caf\xe9 \xff"
    kept = restorable(json.dumps({name: [name]}, ensure_ascii=False))
    kept.decode()  # whoever reads the file finds UTF-8
    assert json.loads(kept) == {name: [name]}
    assert restorable("é") == "é".encode()


def test_long_texts_keep_both_ends():
    text = "".join(map(str, range(1000)))
    short = shortened(text, 101)
    assert len(short) == 101
    assert text.startswith(short.partition(" ... ")[0])
    assert text.endswith(short.partition(" ... ")[2])
    assert shortened("short") == "short"
