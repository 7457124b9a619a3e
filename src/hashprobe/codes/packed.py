"""Sign convention, packing and Hamming distance: the only place that knows bit order.

A code is the sign of a network's real output, sign(0) = +1. A code of K bits takes ceil(K / 8)
bytes, most significant bit first, +1 -> 1 and -1 -> 0, as `numpy.packbits` packs it. The bits that
fill up the last byte are always 0, so that they add nothing to a distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Int32, Integer, Shaped, UInt, UInt8, UInt16

from hashprobe.checked import checked, shown
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import check_numbers
from hashprobe.types import PackedBits, Signs


Rows: TypeAlias = int | slice | Integer[np.ndarray, " rows"] | Bool[np.ndarray, " rows"]
"""What picks rows of a PackedCodes: a position, a slice, positions or a mask."""

MAX_BITS = 4096
"""Longest code, in bits."""

FEW_BYTES = 8
"""Fewer packed bytes than these may all be 0 or 1 by chance."""

BLOCK_ENTRIES = 1 << 18
"""Entries of a distance block: small enough to stay in a core's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class PackedCodes:
    """Binary codes of N items, eight bits a byte.

    Raises:
        HashprobeError: bits is not in 1..4096, data is not uint8 of shape (N, ceil(bits / 8)), or
            a bit behind the last one of a code is not 0.

    Example:
        >>> codes = PackedCodes(np.array([[0b1000_0001]], dtype=np.uint8), bits=8)
        >>> codes.signs()
        array([[ 1, -1, -1, -1, -1, -1, -1,  1]], dtype=int8)
        >>> codes
        PackedCodes(1 x 8 bits)
        >>> PackedCodes.from_signs(np.ones((1, 12))).data
        array([[255, 240]], dtype=uint8)
    """

    data: PackedBits
    """uint8 (N, ceil(K / 8)), most significant bit first, +1 -> 1, filled up with 0."""
    bits: int
    """K, the length of a code, in 1..4096."""

    def __post_init__(self) -> None:
        check_packed(self.data, self.bits)

    @classmethod
    @checked
    def empty(cls, bits: int) -> PackedCodes:
        """No codes of K bits, for an index or a result that grows.

        Args:
            bits: K, in 1..4096.

        Raises:
            HashprobeError: K does not fit.

        Example:
            >>> PackedCodes.empty(12)
            PackedCodes(0 x 12 bits)
        """
        check_bits(bits)
        return cls(np.zeros((0, bytes_of(bits)), dtype=np.uint8), bits)

    @classmethod
    def from_signs(cls, values: Any) -> PackedCodes:
        """Packs codes given as -1/+1, as 0/1 or as booleans.

        Args:
            values: (N, K) of numbers or booleans, an array or a tensor, N at least 1.

        Returns:
            The N codes, +1, 1 and True packed as 1.

        Raises:
            HashprobeError: the shape is not (N, K), N is 0, K does not fit, or an entry belongs
                to none of the encodings.

        Example:
            >>> PackedCodes.from_signs(np.array([[1, -1, -1, -1, 1, 1, 1, 1]])).data
            array([[143]], dtype=uint8)
            >>> PackedCodes.from_signs(np.array([[1, 0, 0, 0, 1, 1, 1, 1]])).data
            array([[143]], dtype=uint8)
        """
        array = as_matrix(values, "codes")
        ones = array if array.dtype == np.bool_ else array == 1
        if array.dtype != np.bool_ and not ones.all():
            rest = array[~ones]
            low = -1 if rest[0] == -1 else 0
            if not (rest == low).all():
                odd = rest[rest != low][0]
                seen = f"{odd} beside {low}" if odd in (-1, 0) else f"{odd}"
                raise HashprobeError(
                    f"codes must be -1/+1, 0/1 or bool; got {seen}: "
                    "are these logits, or packed bytes without their bits?"
                )
        return cls(np.packbits(ones, axis=1), array.shape[1])

    @classmethod
    def from_logits(cls, logits: Any) -> PackedCodes:
        """Packs the signs of a network's real outputs, sign(0) = +1 (DHTA).

        Args:
            logits: real (N, K), an array or a tensor on any device, N at least 1.

        Returns:
            The N codes.

        Raises:
            HashprobeError: the shape is not (N, K), N is 0, K does not fit, the dtype is not
                real, or an entry is NaN.

        Example:
            >>> z = np.array([[0.3, -0.0, -2.0, 0.0, 1.0, -1e-9, 5.0, -5.0]])
            >>> PackedCodes.from_logits(z).signs()
            array([[ 1,  1, -1,  1,  1, -1,  1, -1]], dtype=int8)
        """
        array = as_matrix(logits, "logits")
        if array.dtype == np.bool_ or array.dtype.kind not in "fiu":
            raise HashprobeError(f"logits must be real numbers; got dtype {array.dtype}")
        if np.isnan(array).any():
            row = int(np.flatnonzero(np.isnan(array).any(axis=1))[0])
            raise HashprobeError(f"logits hold NaN, first in row {row}: NaN has no sign")
        return cls(np.packbits(array >= 0, axis=1), array.shape[1])

    @classmethod
    @checked
    def concatenate(cls, parts: Sequence[PackedCodes]) -> PackedCodes:
        """Joins codes of the same length in the order given.

        Args:
            parts: at least one PackedCodes, all of K bits.

        Returns:
            All their rows, in order.

        Raises:
            HashprobeError: parts is empty or the lengths differ.

        Example:
            >>> one = PackedCodes.from_signs(np.ones((1, 8)))
            >>> len(PackedCodes.concatenate([one, one]))
            2
        """
        if not parts:
            raise HashprobeError("no codes to concatenate")
        lengths = sorted({part.bits for part in parts})
        if len(lengths) > 1:
            raise HashprobeError(f"only codes of the same length can be joined; got {lengths} bits")
        return cls(np.concatenate([part.data for part in parts]), lengths[0])

    def signs(self) -> Signs:
        """Unpacks the codes.

        Returns:
            int8 (N, K) of -1 and +1.

        Example:
            >>> PackedCodes.from_signs(np.zeros((1, 8))).signs()
            array([[-1, -1, -1, -1, -1, -1, -1, -1]], dtype=int8)
        """
        ones = np.unpackbits(self.data, axis=1, count=self.bits)
        return ones.view(np.int8) * np.int8(2) - np.int8(1)

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, rows: Rows) -> PackedCodes:
        picked = self.data[rows]
        return PackedCodes(picked.reshape(-1, self.data.shape[1]), self.bits)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedCodes):
            return NotImplemented
        return self.bits == other.bits and np.array_equal(self.data, other.data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PackedCodes({len(self)} x {self.bits} bits)"


@checked
def as_codes(values: Any, bits: int | None = None) -> PackedCodes:
    """Reads codes in any of the accepted forms.

    A uint8 matrix of 0 and 1 could be packed bytes or one entry a bit. It counts as packed bytes
    only if bits is given and the matrix has not bits columns.

    Args:
        values: (N, K) of -1/+1, 0/1 or bool; or, with bits, packed uint8 (N, ceil(bits / 8)).
        bits: K of packed codes; None for one entry a bit.

    Returns:
        The N codes.

    Raises:
        HashprobeError: the values belong to none of the encodings, do not fit bits (also columns
            of 0 and 1 where bits asks for packed bytes), or a bit behind the last one of a packed
            code is not 0.

    Example:
        >>> as_codes(np.array([[143]], dtype=np.uint8), bits=8).signs()
        array([[ 1, -1, -1, -1,  1,  1,  1,  1]], dtype=int8)
        >>> as_codes(np.array([[1, 0, 0, 0, 1, 1, 1, 1]], dtype=np.uint8)).data
        array([[143]], dtype=uint8)
        >>> as_codes(np.array([[143, 192]], dtype=np.uint8), bits=10)
        PackedCodes(1 x 10 bits)
    """
    if isinstance(values, PackedCodes):
        if bits not in (None, values.bits):
            raise HashprobeError(f"these codes have {values.bits} bits; asked for were {bits}")
        return values
    array = as_numpy(values, "codes")
    if bits is not None:
        check_bits(bits)
    if bits is None or (array.shape[1:] == (bits,) and not is_packed_bit(array)):
        return PackedCodes.from_signs(array)
    if array.size == 0:
        raise HashprobeError(f"codes are empty: shape {array.shape}")
    check_packed(array, bits)
    if array.size >= FEW_BYTES and array.max() == 1:
        raise HashprobeError(
            f"codes of {bits} bits in {array.shape[1]} columns of 0 and 1: these are entries of "
            f"{array.shape[1]} bits, not packed bytes; leave bits out, or correct it"
        )
    return PackedCodes(np.ascontiguousarray(array), bits)


def is_packed_bit(array: np.ndarray) -> bool:
    """Whether a column of bytes holds packed codes of one bit: 128 where an entry would be 1."""
    packed = array.dtype == np.uint8 and array.shape[1:] == (1,) and array.size > 0
    return packed and int(array.max()) > 1


@checked
def hamming(a: PackedCodes, b: PackedCodes) -> Int32[np.ndarray, "n m"]:
    """Hamming distances of every code of one set to every code of another.

    D(a, b) = (K - a . b) / 2 for codes of -1 and +1. The result is the only array of size n x m.

    Args:
        a: n codes of K bits.
        b: m codes of K bits.

    Returns:
        int32 (n, m) in 0..K.

    Raises:
        HashprobeError: the lengths of the codes differ.

    Example:
        >>> a = PackedCodes.from_signs(np.ones((1, 8)))
        >>> b = PackedCodes.from_signs(np.array([[1] * 8, [1] * 5 + [-1] * 3]))
        >>> hamming(a, b)
        array([[0, 3]], dtype=int32)
    """
    check_same_bits(a, b)
    result = np.empty((len(a), len(b)), dtype=np.int32)
    a_words, b_words = as_words(a.data), as_words(b.data)
    step = max(1, BLOCK_ENTRIES // max(1, len(b)))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        result[rows] = word_distances(a_words[:, rows], b_words)
    return result


@checked
def paired_hamming(a: PackedCodes, b: PackedCodes) -> Int32[np.ndarray, " n"]:
    """Hamming distance of each code to its partner in the other set.

    Args:
        a: N codes of K bits.
        b: N codes of K bits.

    Returns:
        int32 (N,) in 0..K.

    Raises:
        HashprobeError: the lengths of the codes or their numbers differ.

    Example:
        >>> a = PackedCodes.from_signs(np.ones((2, 8)))
        >>> paired_hamming(a, PackedCodes.from_signs(np.eye(2, 8)))
        array([7, 7], dtype=int32)
    """
    check_same_bits(a, b)
    if len(a) != len(b):
        raise HashprobeError(f"codes can be paired only one to one; got {len(a)} and {len(b)}")
    flips: np.ndarray = np.bitwise_count(a.data ^ b.data).sum(axis=1, dtype=np.int32)
    return flips


def as_words(data: UInt8[np.ndarray, "n b"]) -> UInt[np.ndarray, "w n"]:
    """Regroups packed bytes into as few unsigned words as possible, a row for each word."""
    width = data.shape[1]
    size = next((s for s in (1, 2, 4) if width <= s), 8)
    padded = np.pad(data, ((0, 0), (0, -width % size))) if width % size else data
    padded = np.ascontiguousarray(padded)  # no copy of a database of whole words
    return np.ascontiguousarray(padded.view(f"u{size}").T)


def word_distances(
    a: UInt[np.ndarray, "w n"], b: UInt[np.ndarray, "w m"]
) -> UInt8[np.ndarray, "n m"] | UInt16[np.ndarray, "n m"]:
    """Hamming distances of words from `as_words`, in a small dtype, which sorts by radix."""
    total: np.ndarray = np.bitwise_count(a[0][:, None] ^ b[0][None, :])
    if len(a) * a.itemsize * 8 > 255:
        total = total.astype(np.uint16)
    for left, right in zip(a[1:], b[1:], strict=True):
        total += np.bitwise_count(left[:, None] ^ right[None, :])
    return total


def check_bits(bits: Any) -> None:
    """Refuses a code length that is not a whole number in 1..4096.

    Raises:
        HashprobeError: bits is no whole number, or not in 1..4096.

    Example:
        >>> check_bits(48)
        >>> check_bits(0)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: a code must have 1 to 4096 bits; got 0
    """
    if not isinstance(bits, int | np.integer) or isinstance(bits, bool):
        raise HashprobeError(f"bits must be a whole number; got {shown(bits)}")
    if not 1 <= bits <= MAX_BITS:
        raise HashprobeError(f"a code must have 1 to {MAX_BITS} bits; got {shown(bits)}")


def bytes_of(bits: int) -> int:
    """How many bytes a code of that many bits takes."""
    return -(-bits // 8)


def check_packed(data: np.ndarray, bits: int) -> None:
    """Refuses bytes that are not codes of that many bits."""
    check_bits(bits)
    width = bytes_of(bits)
    if not isinstance(data, np.ndarray):
        raise HashprobeError(f"packed codes must be a numpy array; got {type(data).__name__}")
    if data.ndim != 2 or data.dtype != np.uint8:
        seen = f"{data.dtype} of shape {data.shape}"
        raise HashprobeError(f"packed codes of {bits} bits must be uint8 (N, {width}); got {seen}")
    if data.shape[1] != width:
        need = f"packed codes of {bits} bits need {width} bytes a code"
        raise HashprobeError(f"{need}; got {data.shape[1]}")
    padding = 8 * width - bits
    if not padding:
        return
    dirty = (data[:, -1] & ((1 << padding) - 1)) != 0
    if dirty.any():
        raise HashprobeError(
            f"packed codes of {bits} bits must end in {padding} zero bits; row "
            f"{int(np.argmax(dirty))} does not: pack the most significant bit first, as "
            "numpy.packbits does, or correct bits"
        )


def check_same_bits(a: PackedCodes, b: PackedCodes) -> None:
    """Refuses two sets of codes whose lengths differ."""
    if a.bits != b.bits:
        seen = f"{a.bits} and {b.bits} bits"
        raise HashprobeError(f"only codes of the same length can be compared; got {seen}")


def as_matrix(values: Any, name: str) -> Shaped[np.ndarray, "n k"]:
    """The (N, K) array behind an array or a tensor, with N and K checked."""
    array = as_numpy(values, name)
    if array.ndim != 2:
        raise HashprobeError(f"{name} must have shape (N, K); got {array.shape}")
    if array.shape[0] == 0:
        raise HashprobeError(f"{name} are empty: shape {array.shape}")
    check_bits(array.shape[1])
    return array


def as_numpy(values: Any, name: str | None = None) -> np.ndarray:
    """The array behind a list, an array or a tensor; one that has a name must hold numbers."""
    try:
        if hasattr(values, "detach"):
            values = values.detach()
            if str(values.dtype) == "torch.bfloat16":
                values = values.float()  # numpy has no bfloat16; the sign stays the same
            values = values.cpu().numpy()
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise HashprobeError(
            f"{name or 'values'} must be a list, an array or a tensor with rows of one length; got "
            f"{type(values).__name__}: {str(error).splitlines()[0]}"
        ) from error
    if name is not None:
        check_numbers(array, name)
    return array
