"""Every remedy in front of a victim by its name; imports no torch."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from hashprobe.checked import Late, checked
from hashprobe.defenses.by_name import made_named
from hashprobe.errors import HashprobeError


_HERE = "hashprobe.defenses.preprocessors"

if TYPE_CHECKING:
    from hashprobe.defenses.preprocessors.base import Preprocessor as Preprocessor
else:
    Preprocessor = Annotated[Any, Late(f"{_HERE}.base", "Preprocessor")]

PREPROCESSORS: Mapping[str, str] = MappingProxyType(
    {
        "jpeg": f"{_HERE}._jpeg:Jpeg",
        "resize": f"{_HERE}._resize:Resize",
        "blur": f"{_HERE}._blur:Blur",
        "median": f"{_HERE}._median:Median",
        "bit-depth": f"{_HERE}._bit_depth:BitDepth",
        "random-resize": f"{_HERE}._random_resize:RandomResize",
        "smoothing": f"{_HERE}._smoothing:Smoothing",
    }
)
"""Every preprocessor by name: `module:class`, imported when it is used."""
COMDEFEND = "comdefend"
"""The one that is trained first, so that a name is not enough."""


@checked
def preprocessor_named(name: str, **options: Any) -> Preprocessor:
    """The preprocessor of a name, with its options.

    Args:
        name: a name from `PREPROCESSORS`.
        options: fields of its class; by default as documented there.

    Raises:
        HashprobeError: an unknown name or option, a value that is out of range, or comdefend, which
            `fit_comdefend` makes.

    Example:
        >>> preprocessor_named("jpeg", quality=50)
        Jpeg(quality=50)
    """
    if name == COMDEFEND:
        raise HashprobeError(
            "comdefend is trained first: use what hashprobe.defenses.fit_comdefend returns"
        )
    made: Preprocessor = made_named("preprocessor", PREPROCESSORS, name, options)
    return made
