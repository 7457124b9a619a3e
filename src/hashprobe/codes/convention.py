"""How other systems lay out the bits of a code, and the same codes as they are laid out here."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int8

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


Signs = Int8[np.ndarray, "n k"]
PART = 1 << 16
"""Codes whose bits are unpacked at once."""


@checked
@dataclass(frozen=True)
class BitConvention:
    """What another system does otherwise with the bits that it stores.

    Example:
        >>> import numpy as np
        >>> theirs = PackedCodes(np.array([[0b0000_0001]], np.uint8), 8)
        >>> BitConvention("little").read(theirs).data
        array([[128]], dtype=uint8)
    """

    order: Literal["big", "little"] = "big"
    """Which bit of a byte comes first: the most significant one (big) or the least."""
    reversed: bool = False
    """Whether the last bit of a code is stored first."""
    inverted: bool = False
    """Whether a positive output is stored as 0."""

    def read(self, codes: PackedCodes) -> PackedCodes:
        """Codes that were stored so, as they are laid out here.

        Args:
            codes: N codes whose bytes are as they were stored.

        Raises:
            HashprobeError: the least significant bit comes first and codes do not fill their bytes.
        """
        if self.order == "little" and codes.bits % 8:
            raise HashprobeError(
                f"codes of {codes.bits} bits with the least significant bit first end in bits "
                "that are none: unpack them with numpy.unpackbits(bitorder='little', count=K)"
            )
        if not self.flags or not len(codes):
            return codes
        # Bits are unpacked some at a time: each takes a byte then.
        parts = [
            self.turned(codes[start : start + PART].signs()) for start in range(0, len(codes), PART)
        ]
        return PackedCodes(np.concatenate([part.data for part in parts]), codes.bits)

    def turned(self, signs: Signs) -> PackedCodes:
        """Codes as they are laid out here."""
        if self.order == "little":
            signs = signs.reshape(len(signs), -1, 8)[:, :, ::-1].reshape(len(signs), -1)
        if self.reversed:
            signs = signs[:, ::-1]
        return PackedCodes.from_signs(-signs if self.inverted else signs)

    @property
    def flags(self) -> tuple[str, ...]:
        """What is not as here, as options of the command line.

        Example:
            >>> BitConvention("little", inverted=True).flags
            ('--bit-order little', '--inverted')
        """
        said = {
            "--bit-order little": self.order == "little",
            "--reversed": self.reversed,
            "--inverted": self.inverted,
        }
        return tuple(flag for flag, holds in said.items() if holds)
