"""Against a real server, where one can be started; addresses and secrets without one."""

import re
import time

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers import postgres_codes
from hashprobe.codes.readers.postgres_codes import address_of
from hashprobe.codes.readers.registry import read_codes
from hashprobe.errors import HashprobeError


CODES = PackedCodes.from_signs(np.random.default_rng(0).random((7, 20)) < 0.5)
BITS = ["".join("1" if sign > 0 else "0" for sign in row) for row in CODES.signs()]


def address(uri, table, query):
    path, _, socket = uri.partition("?")
    return f"{path}/{table}?{socket}&{query}"


@pytest.fixture
def table(postgres):
    """Makes a table with a column of codes of some type; its address."""
    uri, connection = postgres

    def make(kind, cells, name="items", more=""):
        connection.execute(f'DROP TABLE IF EXISTS "{name}"')
        connection.execute(f'CREATE TABLE "{name}" (id int, code {kind}, path text{more})')
        for place, cell in reversed(list(enumerate(cells))):  # the order is that of the ids
            row = (place * 3, cell, f"{place}.jpg")
            connection.execute(f'INSERT INTO "{name}" (id, code, path) VALUES (%s, %s, %s)', row)
        return address(uri, name, "codes=code")

    return make


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("bit(20)", BITS),
        ("bit varying", BITS),
        ("bytea", [row.tobytes() for row in CODES.data]),
        ("text", [f"0x{row.tobytes().hex().upper()}" for row in CODES.data]),
    ],
)
def test_codes_come_in_the_order_of_the_ids(table, kind, cells, monkeypatch):
    monkeypatch.setattr(postgres_codes, "ROWS", 3)
    found = read_codes(table(kind, cells) + "&path=path", 20)
    assert found.codes == CODES
    assert found.ids == ("0", "3", "6", "9", "12", "15", "18")
    assert found.paths[2] == "2.jpg"


def test_float_vectors_come_along(table, postgres):
    where = table("bit(20)", BITS, more=", v real[]")
    postgres[1].execute("UPDATE items SET v = ARRAY[id, 0.5]::real[]")
    assert read_codes(where + "&floats=v").floats[1].tolist() == [3, 0.5]
    postgres[1].execute("CREATE EXTENSION IF NOT EXISTS vector")
    postgres[1].execute("ALTER TABLE items ALTER v TYPE vector USING v::vector")
    assert read_codes(where + "&floats=v").floats[2].tolist() == [6, 0.5]
    postgres[1].execute("UPDATE items SET v = NULL WHERE id = 3")
    with pytest.raises(HashprobeError, match="'v' is NULL for id 3"):
        read_codes(where + "&floats=v")


def test_names_are_quoted_and_nothing_is_written(table, postgres):
    odd = 'a"; DROP TABLE items; --'
    table("bit(20)", BITS)
    postgres[1].execute(f"""CREATE TABLE IF NOT EXISTS "{odd.replace('"', '""')}" AS TABLE items""")
    where = address(postgres[0], odd.replace('"', "%22").replace(" ", "%20"), "codes=code")
    assert read_codes(where).codes == CODES
    with pytest.raises(HashprobeError, match="does not exist"):
        read_codes(address(postgres[0], "items", "codes=code&id=id%22;DROP TABLE items"))
    assert read_codes(address(postgres[0], "items", "codes=code")).codes == CODES


@pytest.mark.parametrize(
    ("kind", "cells", "query", "words"),
    [
        ("bit(20)", [], "", "has no rows"),
        ("int", [], "", "is of type integer; codes are bit, bit varying"),
        ("bit(20)", [BITS[0], None], "", "'code' is NULL for id 3"),
        ("bit varying", ["101", "1"], "", "one length; got 1 and 3 bits"),
        ("text", ["ff", "fff"], "", "hex numbers of one length"),
        ("text", ["zz"], "", "got 'zz'"),
        ("bit(20)", BITS, "&floats=path", "'path' is of type text; float vectors are"),
        ("bit(20)", BITS, "&id=none", 'column "none" does not exist'),
    ],
)
def test_what_cannot_be_read_is_one_sentence(table, kind, cells, query, words):
    with pytest.raises(HashprobeError) as error:
        read_codes(table(kind, cells) + query)
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_other_bits_than_asked_for_are_refused(table):
    with pytest.raises(HashprobeError, match="one length; got 20 and 24 bits"):
        read_codes(table("bit(20)", BITS), 24)


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://me:s3cret@127.0.0.1:1/db/items?codes=code",
        "postgresql://me:s3cret@127.0.0.1:1/db/items?codes=code&nonsense=1",
        "postgresql://me:s3cret@127.0.0.1:1/db/items?codes=code&sslmode=odd",
        "postgresql://me:s3cret@127.0.0.1:1/db",
        "postgresql://me:s3cret@127.0.0.1:99999/db/items?codes=code",
        "postgresql://me:s3cret@[::1/db/items?codes=code",
        "postgresql://me:s3cret@h/db/items?id=a",
        "postgresql://me:s3cret@h/db/items?codes=a&codes=b",
        "postgresql://me:s3cret@h/db/a/b?codes=a",
        "postgresql://me:s3cret@h/db/a..b?codes=a",
        "postgresql://me:s3cret@h/db/items?codes",
        "postgresql://me:s3cret@h/db/%00?codes=a",
        "postgresql://me:s3cret@" + "h" * 5000 + "/db/items?codes=a",
        "postgresql+psycopg://me:s3cret@h/db/items?codes=a",
    ],
)
def test_the_password_is_in_no_message(source):
    pytest.importorskip("psycopg")
    before = time.monotonic()
    with pytest.raises(HashprobeError) as error:
        read_codes(source)
    told = f"{error.value} {error.value.__cause__!r}"
    assert "s3cret" not in told
    assert len(str(error.value)) < 500
    assert time.monotonic() - before < 8


def test_a_password_in_the_words_of_the_server_is_hidden(monkeypatch):
    psycopg = pytest.importorskip("psycopg")

    def refuse(**given):
        raise psycopg.OperationalError(f"no entry for {given['password']}\nof {given['user']}")

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(HashprobeError, match=r"items at h/db: no entry for \*\*\* of me$"):
        read_codes("postgresql://me:s3cret@h/db/items?codes=code")


def test_addresses_are_taken_apart():
    found = address_of("postgres://a%40b:p%2Fw@h/my%20db/s.t?codes=c&id=i&sslmode=require")
    assert found.table == ("s", "t")
    assert found.server == {
        "dbname": "my db", "sslmode": "require", "host": "h", "user": "a@b", "password": "p/w",
    }  # fmt: skip
    assert not re.search("p/w|a@b", repr(found) + found.shown)
