"""How other systems lay out the bits of a code, and the same codes as they are laid out here."""

from dataclasses import dataclass
from typing import Literal

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


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
        signs = codes.signs()
        if self.order == "little":
            if codes.bits % 8:
                raise HashprobeError(
                    f"codes of {codes.bits} bits with the least significant bit first end in bits "
                    "that are none: unpack them with numpy.unpackbits(bitorder='little', count=K)"
                )
            signs = signs.reshape(len(codes), -1, 8)[:, :, ::-1].reshape(len(codes), -1)
        if self.reversed:
            signs = signs[:, ::-1]
        if not len(codes):
            return codes
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
