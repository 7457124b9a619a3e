"""Every perceptual hash by its name: the only place that knows them; imports no torch."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from hashprobe.checked import Late, checked, shown
from hashprobe.errors import HashprobeError


if TYPE_CHECKING:
    from hashprobe.victims.perceptual.base import PerceptualHash as PerceptualHash
else:
    PerceptualHash = Annotated[Any, Late("hashprobe.victims.perceptual.base", "PerceptualHash")]

_HERE = "hashprobe.victims.perceptual"

PERCEPTUAL_HASHES: Mapping[str, str] = MappingProxyType(
    {
        "pdq": f"{_HERE}._pdq:PdqHash",
        "phash": f"{_HERE}._phash:PHash",
        "dhash": f"{_HERE}._dhash:DHash",
        "ahash": f"{_HERE}._ahash:AHash",
    }
)
"""Every perceptual hash by name: `module:class`, imported when it is used."""


@checked
def perceptual_hash(name: str) -> PerceptualHash:
    """A perceptual hash as a victim, by its name.

    Args:
        name: `pdq` (256 bits), `phash`, `dhash` or `ahash` (64 bits).

    Returns:
        The victim. It takes pictures of their own size, all of one call of the same.

    Raises:
        HashprobeError: an unknown name, or a library that is not installed.

    Example:
        >>> perceptual_hash("dhash").bits
        64
    """
    if name not in PERCEPTUAL_HASHES:
        known = ", ".join(PERCEPTUAL_HASHES)
        raise HashprobeError(f"unknown perceptual hash {shown(name)}: choose from {known}")
    module, _, kind = PERCEPTUAL_HASHES[name].partition(":")
    made: PerceptualHash = getattr(import_module(module), kind)()
    return made.eval()
