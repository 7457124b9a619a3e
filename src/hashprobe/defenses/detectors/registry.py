"""Every detector by its name; imports no torch."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from hashprobe.checked import Late, checked
from hashprobe.defenses.by_name import made_named


_HERE = "hashprobe.defenses.detectors"

if TYPE_CHECKING:
    from hashprobe.defenses.detectors.base import Detector as Detector
else:
    Detector = Annotated[Any, Late(f"{_HERE}.base", "Detector")]

DETECTORS: Mapping[str, str] = MappingProxyType(
    {
        "bit-histogram": f"{_HERE}._bit_histogram:BitHistogram",
        "instability": f"{_HERE}._instability:Instability",
        "nearest-code": f"{_HERE}._nearest_code:NearestCode",
    }
)
"""Every detector by name: `module:class`, imported when it is used."""


@checked
def detector_named(name: str, **options: Any) -> Detector:
    """The detector of a name, with its options.

    Args:
        name: a name from `DETECTORS`.
        options: fields of its class; by default as documented there.

    Raises:
        HashprobeError: an unknown name or option, or a value that is out of range.

    Example:
        >>> detector_named("instability", copies=4).copies
        4
    """
    made: Detector = made_named("detector", DETECTORS, name, options)
    return made
