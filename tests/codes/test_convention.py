"""Codes that other systems store otherwise."""

import tracemalloc

import numpy as np
import pytest

from hashprobe.codes import BitConvention, PackedCodes


def stored(convention, signs):
    """Bytes of codes as a system with a convention would store them, bit by bit."""
    rows = []
    for row in signs:
        bits = [bit > 0 for bit in row]
        bits = [not bit for bit in bits] if convention.inverted else bits
        bits = bits[::-1] if convention.reversed else bits
        little = convention.order == "little"
        rows.append(
            [
                sum(bit << (place if little else 7 - place) for place, bit in enumerate(byte))
                for byte in (bits[at : at + 8] for at in range(0, len(bits), 8))
            ]
        )
    return np.array(rows, np.uint8)


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_every_convention_is_read(monkeypatch, order, reverse, inverted):
    convention = BitConvention(order, reverse, inverted)
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (11, 16))
    codes = PackedCodes(stored(convention, signs), 16)
    for part in (4, 11, 1 << 16):  # codes that are unpacked at once
        monkeypatch.setattr("hashprobe.codes.convention.PART", part)
        assert np.array_equal(convention.read(codes).signs(), signs)


def test_reading_takes_little_memory():
    data = np.random.default_rng(0).integers(0, 256, (1 << 19, 8), dtype=np.uint8)
    codes = PackedCodes(data, 64)
    assert BitConvention().read(codes) is codes
    tracemalloc.start()
    try:
        found = BitConvention(inverted=True).read(codes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(found.data, ~data)
    assert peak < 8 * data.nbytes  # a byte a bit for all codes is this much already
