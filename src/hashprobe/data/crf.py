"""The constant rate factors of H.264; imports no torch, so that options can check theirs."""

from hashprobe.errors import HashprobeError


CRF, LARGEST_CRF = 23, 51
"""Constant rate factor: 0 is nearly lossless, 23 is libx264's default, 51 is the coarsest."""


def check_crf(crf: int) -> None:
    """Refuses a constant rate factor that H.264 does not have.

    Raises:
        HashprobeError: it is not in 0..51.
    """
    if not 0 <= crf <= LARGEST_CRF:
        raise HashprobeError(f"crf must be from 0 (finest) to {LARGEST_CRF} (coarsest); got {crf}")
