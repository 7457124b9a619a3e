"""Every detector by its name; imports no torch."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from hashprobe.checked import Late, checked, shown
from hashprobe.errors import HashprobeError


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
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise HashprobeError(f"unknown detector {shown(name)}: choose from {known}")
    module, _, kind = DETECTORS[name].partition(":")
    made = getattr(import_module(module), kind)
    there = [field.name for field in fields(made)]
    for option in options:
        if option not in there:
            choices = f"choose from {', '.join(there)}" if there else "it has none"
            raise HashprobeError(f"{name} has no option {shown(option)}: {choices}")
    detector: Detector = made(**options)
    return detector
