"""Indexes that faiss itself wrote are read back; damaged ones end no process but the child's."""

import struct

import numpy as np
import pytest

from hashprobe.codes.index.flat import load_faiss
from hashprobe.codes.readers.registry import read_codes
from hashprobe.errors import HashprobeError


faiss = load_faiss()
CODES = np.random.default_rng(0).integers(0, 256, (60, 8), dtype=np.uint8)
IDS = np.random.default_rng(1).permutation(1000)[:60].astype(np.int64)


def flat():
    index = faiss.IndexBinaryFlat(64)
    index.add(CODES)
    return index


def ivf(ids=None):
    quantizer = faiss.IndexBinaryFlat(64)
    index = faiss.IndexBinaryIVF(quantizer, 64, 3)
    index.own_fields = False
    index.kept = quantizer
    index.train(CODES)
    index.add(CODES) if ids is None else index.add_with_ids(CODES, ids)
    return index


def mapped(kind, inner):
    index = kind(inner)
    index.kept = inner
    index.add_with_ids(CODES, IDS)
    return index


def empty_ivf():
    index = ivf()
    index.reset()
    return index


def saved(tmp_path, index, name="codes.faiss"):
    faiss.write_index_binary(index, str(tmp_path / name))
    return tmp_path / name


@pytest.mark.parametrize(
    ("make", "ids"),
    [
        (flat, range(60)),
        (lambda: mapped(faiss.IndexBinaryIDMap, faiss.IndexBinaryFlat(64)), IDS),
        (lambda: mapped(faiss.IndexBinaryIDMap2, empty_ivf()), IDS),
        (ivf, range(60)),
    ],
    ids=["flat", "idmap", "idmap2 over ivf", "ivf"],
)
def test_codes_keep_their_ids_and_their_order(tmp_path, make, ids):
    found = read_codes(saved(tmp_path, make()), 64)
    assert found.codes.data.tolist() == CODES.tolist()
    assert found.ids == tuple(map(str, ids))


def test_ids_of_inverted_lists_are_in_order(tmp_path):
    found = read_codes(saved(tmp_path, ivf(IDS)))
    order = np.argsort(IDS)
    assert found.ids == tuple(map(str, IDS[order]))
    assert found.codes.data.tolist() == CODES[order].tolist()


def said(path, bits=None):
    with pytest.raises(HashprobeError) as error:
        read_codes(path, bits)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_other_indexes_are_one_sentence(tmp_path):
    floats = faiss.IndexFlatL2(8)
    floats.add(np.zeros((3, 8), np.float32))
    faiss.write_index(floats, str(tmp_path / "a"))
    assert "is a faiss index of floats" in said(tmp_path / "a")
    hashed = faiss.IndexBinaryHash(64, 8)
    hashed.add(CODES)
    assert "of kind 'IBHh'" in said(saved(tmp_path, hashed))
    assert "without codes" in said(saved(tmp_path, faiss.IndexBinaryFlat(64)))
    path = saved(tmp_path, flat())
    assert "have 64 bits; asked for were 48" in said(path, 48)
    assert "must end in 4 zero bits" in said(path, 60)


def test_bits_beside_the_padding_are_left_out(tmp_path):
    index = faiss.IndexBinaryFlat(64)
    index.add(CODES & np.array([255] * 7 + [240], np.uint8))
    assert read_codes(saved(tmp_path, index), 60).bits == 60


def test_headers_that_lie_are_refused_before_faiss_sees_them(tmp_path, monkeypatch):
    monkeypatch.setattr("hashprobe.codes.readers.faiss_codes.in_child", None)
    data = saved(tmp_path, flat()).read_bytes()
    path = tmp_path / "a"
    for place, value, words in (
        (4, struct.pack("<i", 72), "72 bits in codes of 8 bytes"),
        (8, struct.pack("<i", -8), "64 bits in codes of -8 bytes"),
        (12, struct.pack("<q", 10**9), "1,000,000,000 codes of 8 bytes do not fit"),
        (12, struct.pack("<q", -1), "-1 codes of 8 bytes do not fit"),
    ):
        path.write_bytes(data[:place] + value + data[place + len(value) :])
        assert words in said(path)
    path.write_bytes(data[:15])
    assert "was cut off" in said(path)


def test_a_child_that_dies_ends_nothing_else(tmp_path, monkeypatch):
    path = saved(tmp_path, flat())
    child = tmp_path / "child.py"
    monkeypatch.setattr("hashprobe.codes.readers.faiss_codes.CHILD", child)
    for body, words in (
        ("import os; os.abort()", "faiss ended with signal 6"),
        ("raise SystemExit(3)", "faiss ended with code 3"),
        ("print('{}')", "damaged"),
        ('print(\'{"count": 9, "code_size": 8}\')', "could not be read whole"),
        ('print(\'{"error": "\\\\u001b[31m"}\')', r"faiss: \x1b[31m"),
    ):
        child.write_text(body)
        assert words in said(path)


def test_damage_that_faiss_meets_is_one_sentence(tmp_path):
    path = tmp_path / "a"
    data = saved(tmp_path, flat()).read_bytes()
    huge = data[:25] + struct.pack("<Q", 10**12) + data[33:]
    lists = saved(tmp_path, ivf()).read_bytes()
    many = lists[:25] + struct.pack("<Q", 10**11) + lists[33:]
    for damaged in (data[:-5], huge, lists[:300], many):
        path.write_bytes(damaged)
        assert "cannot be read by faiss" in said(path) or "damaged" in said(path)
