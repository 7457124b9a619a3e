"""Damage to bytes that knows nothing of their format."""

import numpy as np


def mangled(data: bytes, rng: np.random.Generator, most: int = 6) -> tuple[bytes, str]:
    """Bytes with one kind of damage, and what it is in words."""
    kinds = (flip, flip, some_flips, cut, insert, remove, repeat, zeros, text_inside, swap)
    return kinds[int(rng.integers(min(len(kinds), most + 4)))](data, rng)


def place(data: bytes, rng: np.random.Generator) -> int:
    """A position; every third one is among the first 64 bytes, where headers are."""
    end = min(len(data), 64) if rng.random() < 1 / 3 else len(data)
    return int(rng.integers(max(1, end)))


def flip(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One byte has another value."""
    where, change = place(data, rng), int(rng.integers(1, 256))
    changed = bytearray(data)
    changed[where] ^= change
    return bytes(changed), f"byte {where} xor {change}"


def some_flips(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Up to 16 bytes have another value."""
    changed = bytearray(data)
    places = [place(data, rng) for _ in range(int(rng.integers(2, 17)))]
    for where in places:
        changed[where] = int(rng.integers(256))
    return bytes(changed), f"bytes {places} are random"


def cut(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The end is missing."""
    end = int(rng.integers(len(data)))
    return data[:end], f"cut off after {end} of {len(data)} bytes"


def insert(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Random bytes stand in the middle."""
    where, count = place(data, rng), int(rng.integers(1, 200))
    return data[:where] + rng.bytes(count) + data[where:], f"{count} bytes more at {where}"


def remove(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Some bytes are missing."""
    where, count = place(data, rng), int(rng.integers(1, 100))
    return data[:where] + data[where + count :], f"{count} bytes fewer at {where}"


def repeat(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A piece stands there twice."""
    where, count = place(data, rng), int(rng.integers(1, 200))
    return data[: where + count] + data[where:], f"{count} bytes twice at {where}"


def zeros(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Some bytes are zero."""
    where, count = place(data, rng), int(rng.integers(1, 64))
    piece = bytes(min(count, len(data) - where))
    return data[:where] + piece + data[where + len(piece) :], f"{count} zeros at {where}"


def text_inside(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Four bytes have the largest or the smallest value of a number."""
    where = place(data, rng)
    value = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f")[
        int(rng.integers(4))
    ]
    return data[:where] + value + data[where + 4 :], f"{value.hex()} at {where}"


def swap(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Two halves change places."""
    where = place(data, rng)
    return data[where:] + data[:where], f"the first {where} bytes stand last"
