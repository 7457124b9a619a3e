"""The options of a network that was not trained here, as the command line takes them."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from hashprobe.cli.flags import Flag
from hashprobe.types import Filter, Layout
from hashprobe.victims.foreign import Activation, PixelRange, VictimOptions


def parse_numbers(_: Any, tokens: tuple[Token, ...]) -> tuple[float, ...]:
    """One number, or three with commas.

    Example:
        >>> parse_numbers(tuple, (Token(value="104,117,123"),))
        (104.0, 117.0, 123.0)
    """
    text = tokens[0].value
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise ValueError(f"must be one number, or three with commas; got {text!r:.80}")
    return numbers


NUMBERS = Parameter(converter=parse_numbers, n_tokens=1)


@dataclass(frozen=True)
class VictimFlags:
    """How a network is used; what is not given is read from a YAML file beside it, or by default.

    Example:
        >>> VictimFlags(resize="shorter", bgr=True).options().said()
        {'bgr': True, 'fit': 'crop'}
    """

    bits: int | None = None
    """Code length; by default as many bits as the network has outputs."""
    size: int | None = None
    """Height and width of its input in pixels; by default what the file says, or 224."""
    mean: Annotated[tuple[float, ...] | None, NUMBERS] = None
    """What it expects to be subtracted: one number, or three with commas, in the units of --range
    and in the order of its channels; by default 0."""
    std: Annotated[tuple[float, ...] | None, NUMBERS] = None
    """What it expects its pixels to be divided by, in the same units and order; by default 1."""
    range: PixelRange | None = None
    """Values of its pixels before mean and std; by default 0..1."""
    bgr: Flag = False
    """It expects blue first, and not red."""
    layout: Layout | None = None
    """Where its channels stand; by default nchw, or what the file says."""
    resize: Literal["shorter", "squash", "pad"] | None = None
    """How a picture becomes a square: squash (by default) brings both sides to --size; shorter the
    shorter side, and cuts out the centre; pad the longer side, and adds black borders."""
    resize_to: int | None = None
    """Pixels of the side that is resized before the centre of --size is cut out, for example 256
    for a size of 224; by default --size."""
    filter: Filter | None = None
    """Filter of this resize; by default bilinear."""
    output: str | None = None
    """Which output holds the logits: its place or its name; in an ONNX file any tensor by its name;
    with --backbone features, what its last layer is given."""
    activation: Activation | None = None
    """What the outputs have been through: it is undone; by default none."""
    zero_bit: Literal[0, 1] | None = None
    """Bit of an output of exactly 0: 1 (by default; the sign rule >= 0) or 0 (> 0)."""
    backbone: str | None = None
    """The network that a file of weights is of: a name of torchvision or of timm (extra timm)."""
    binarise: str | None = None
    """How floats become bits: sign (by default), median (of the picture's own floats), or an .npz
    file of hashprobe fit-binariser."""

    def options(self) -> VictimOptions:
        """The options."""
        known = asdict(self)
        known["fit"] = {"shorter": "crop"}.get(str(self.resize), known.pop("resize"))
        known["bgr"] = self.bgr or None
        if self.output is not None and self.output.isdigit():
            known["output"] = int(self.output)
        if self.binarise not in (None, "sign", "median"):
            known["binarise"] = Path(os.path.expanduser(str(self.binarise)))
        return VictimOptions(**known)
