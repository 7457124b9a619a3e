"""Codes into a table: whole or not at all, and audits whose searches the server answers."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

import hashprobe as hp
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.index import connection
from hashprobe.codes.index.postgres import PostgresIndex
from hashprobe.codes.npz import save_codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers.registry import read_codes
from hashprobe.errors import HashprobeError
from hashprobe.storage.runs import Run
from hashprobe.workflow import push_step
from hashprobe.workflow.audit_options import AuditFiles
from hashprobe.workflow.push_options import PushOptions
from hashprobe.workflow.push_step import push_codes
from hashprobe.workflow.run_io import load_codes

from ..codes.index.served import new_address


BITS, SIDE = 24, 12


@pytest.fixture
def stored(tmp_path):
    """A file of codes."""
    codes = PackedCodes.from_signs(np.random.default_rng(0).random((50, BITS)) < 0.5)
    save_codes(tmp_path / "codes.npz", codes)
    return tmp_path / "codes.npz", codes


def tables(admin):
    rows = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def name_of(address):
    return address.split("?")[0].rpartition("/")[2]


def test_a_run_is_pushed_and_read_again(audit, hashprobe, postgres):
    address = new_address("run")
    said = hashprobe("push", audit[0], address, "--partition", "500", "--hnsw")
    assert said.code == 0, said.err
    assert re.fullmatch(
        r"run\d+ at .*: 1,347 codes of 16 bits in [\d.]+ s; the graph finds \d+\.\d% of the 10 "
        r"nearest\n",
        said.out,
    )
    database = load_codes(Run.open(audit[0]), "database")
    found = read_codes(address + "&codes=code&path=item")
    assert found.codes == database.codes
    assert found.ids == tuple(map(str, range(1347))) and len(set(found.paths)) == 1347
    error = hashprobe("push", audit[0], address).error
    assert error.endswith("is there already: choose another, or --overwrite")
    again = hashprobe("push", audit[0], address, "--overwrite", "--json")
    assert again.code == 0 and '"recall": null' in again.out


def test_a_table_that_hashprobe_did_not_make_stays(stored, postgres):
    address = new_address("mine")
    postgres[1].execute(f'CREATE TABLE "{name_of(address)}" (id int)')
    before = tables(postgres[1])
    with pytest.raises(HashprobeError, match="hashprobe did not push it: choose another"):
        push_codes(stored[0], address, PushOptions(overwrite=True))
    assert tables(postgres[1]) == before


def test_a_push_that_fails_leaves_nothing(stored, postgres, monkeypatch):
    monkeypatch.setattr(push_step, "ROWS", 20)
    monkeypatch.setattr(connection, "WAITS", (0.0, 0.0))
    real, before = PostgresIndex.add, tables(postgres[1])

    def fail(self, codes, items=None):
        if len(self) == 40:
            raise HashprobeError("no space")
        real(self, codes, items)

    address = new_address("cut")
    with monkeypatch.context() as patch:
        patch.setattr(PostgresIndex, "add", fail)
        with pytest.raises(HashprobeError, match="no space"):
            push_codes(stored[0], address, PushOptions(partition=30))
    assert tables(postgres[1]) == before
    assert push_codes(stored[0], address).rows == 50
    with pytest.raises(HashprobeError, match="at most 40 bytes"):
        push_codes(stored[0], new_address("x" * 40))
    with pytest.raises(HashprobeError) as error:
        push_codes(stored[0], "postgresql://me:s3cret@127.0.0.1:1/db/items")
    assert "s3cret" not in f"{error.value} {error.value.__cause__!r}"


@pytest.mark.parametrize("convention", [{}, {"inverted": True, "order": "little"}])
def test_an_audit_by_queries_asks_the_server(convention, postgres, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE**2, BITS))
    victim = hp.Victim(net, bits=BITS, size=SIDE, mean=0.5)
    pictures = torch.randint(0, 256, (30, 3, SIDE, SIDE), dtype=torch.uint8)
    how = BitConvention(**convention)
    save_codes(tmp_path / "codes.npz", how.read(victim.encode(pictures).packed))
    address = new_address("served")
    push_codes(tmp_path / "codes.npz", address)
    asked, real = [], PostgresIndex.search
    monkeypatch.setattr(
        PostgresIndex, "search", lambda self, *words: asked.append(words[1]) or real(self, *words)
    )
    given = {
        "radius": 2, "eps": (32 / 255,), "access": "query", "query_budget": 6, "top": 5,
        "goals": ("evade",), "files": AuditFiles(convention=how),
    }  # fmt: skip
    words = (victim, pictures[:3])
    one = hp.audit(*words, tmp_path / "codes.npz", **given).to_json()
    assert not asked
    two = hp.audit(*words, address + "&codes=code", **given).to_json()
    assert set(asked) == {5} and len(asked) > 3
    assert one["goals"] == two["goals"]


@pytest.mark.parametrize("given", ["address", "environment"])
def test_a_password_is_in_no_file_and_no_line(given, run, hashprobe, postgres, monkeypatch):
    address = new_address("secret")
    if given == "address":
        address = re.sub("://([^:@/]*)(:[^@/]*)?@", r"://\1:s3cret@", address)
        assert "s3cret" in address
    else:
        monkeypatch.setenv("PGPASSWORD", "s3cret")
    pictures = run / "pictures"
    pictures.mkdir()
    for place in range(3):
        pixels = np.random.default_rng(place).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{place}.png")
    quick = [
        "--radius",
        "2",
        "--eps",
        "8/255",
        "--steps",
        "2",
        "--no-exact",
        "--no-edits",
        "--count",
        "2",
    ]
    said = [
        hashprobe("push", run, address, "--overwrite"),
        hashprobe("push", run, address),
        hashprobe("push", run, address.replace("/secret", "/no/such")),
        hashprobe(
            "audit", "--victim", run, "--queries", pictures, "--out", run / "audit",
            "--database", f"{address}&codes=code", *quick,
        ),
    ]  # fmt: skip
    assert [one.code for one in said] == [0, 2, 2, 0], said
    texts = [one.out + one.err for one in said]
    files = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    assert len(files) > 10 and not any("s3cret" in text for text in texts)
    assert not any(b"s3cret" in content for content in files)
