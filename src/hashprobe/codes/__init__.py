"""Bits: packing, Hamming distance, and search over binary codes."""

from hashprobe.codes.index import FakeIndex, FlatIndex, Index
from hashprobe.codes.packed import PackedCodes, as_codes, hamming, paired_hamming
from hashprobe.codes.storage import load_codes, save_codes


__all__ = [
    "FakeIndex",
    "FlatIndex",
    "Index",
    "PackedCodes",
    "as_codes",
    "hamming",
    "load_codes",
    "paired_hamming",
    "save_codes",
]
