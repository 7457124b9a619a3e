"""What a user says of a network that was not trained here: one set of options for every door."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from hashprobe.checked import checked, shown
from hashprobe.codes.packed import as_numpy
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_bytes
from hashprobe.storage.plain_yaml import parse_yaml
from hashprobe.text import nearest
from hashprobe.types import MAX_SIDE, Filter, InputContract, Layout, check_whole


Activation: TypeAlias = Literal["none", "sigmoid", "tanh"]
"""What outputs have been through."""
PixelRange: TypeAlias = Literal["0..1", "0..255", "-1..1"]
"""Values of the pixels that a network expects, before mean and std."""
Resize: TypeAlias = Literal["squash", "crop", "shorter", "pad"]
"""How a picture becomes a square; `shorter` is another name for `crop`."""

SPANS: Mapping[PixelRange, tuple[float, float]] = {
    "0..1": (1.0, 0.0),
    "0..255": (255.0, 0.0),
    "-1..1": (2.0, -1.0),
}
"""What pixels in [0, 1] are multiplied by, and what is added then."""
SIZE = 224
"""Pixels of a side where nobody says any."""


@checked
@dataclass(frozen=True)
class VictimOptions:
    """How a network is used; None stands for what was not said, and then a default holds.

    Raises:
        HashprobeError: a value of another type or out of range.

    Example:
        >>> VictimOptions(mean=(104, 117, 123), range="0..255", bgr=True).contract().mean[2]
        0.40784313725490196
    """

    bits: int | None = None
    """Code length K, 1 to 4096; by default as many as the network has outputs."""
    size: int | None = None
    """Height and width of the input in pixels; by default what the file says, or 224."""
    mean: Any = None
    """What the network expects to be subtracted: one number, or one a channel, in the units of the
    range and in the order of its channels; by default 0."""
    std: Any = None
    """What it expects its pixels to be divided by, in the same units and order; by default 1."""
    range: PixelRange | None = None
    """Values of its pixels before mean and std: 0..1 (by default), 0..255 or -1..1."""
    bgr: bool | None = None
    """Whether it expects blue first; by default red first."""
    layout: Layout | None = None
    """Where its channels stand: nchw (by default) or nhwc."""
    fit: Resize | None = None
    """How a picture becomes a square: `squash` (by default) brings both sides to size; `crop`, or
    `shorter`, the shorter side and cuts out the centre; `pad` the longer side and adds black
    borders."""
    resize_to: int | None = None
    """Pixels of the side that is resized before the centre of size is cut out, for example 256 for
    a size of 224; by default size itself."""
    filter: Filter | None = None
    """Filter of this resize: bilinear (by default), bicubic, nearest, lanczos or box."""
    frames: int | None = None
    """Most frames of a clip; by default 0, a network of images."""
    output: int | str | None = None
    """Which output holds the logits: a place, or a name; in an ONNX file any tensor by its name."""
    activation: Activation | None = None
    """What the outputs have been through, sigmoid or tanh: it is undone; by default nothing."""
    zero_bit: Literal[0, 1] | None = None
    """The bit of an output of exactly 0: 1 (by default; the sign rule >= 0) or 0 (> 0)."""
    backbone: str | None = None
    """The network that a file of weights is of: a name of torchvision or of timm."""
    binarise: str | Path | None = None
    """How floats become bits: sign (by default), median (of the picture's own floats), or an .npz
    file of `hashprobe fit-binariser`."""

    def __post_init__(self) -> None:
        # Refuses what no network can expect; a size that was not said may still come.
        self.at(self.size or self.resize_to or SIZE)

    def said(self) -> dict[str, Any]:
        """What was said, by name.

        Example:
            >>> VictimOptions(bits=8).said()
            {'bits': 8}
        """
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in known.items() if value is not None}

    def over(self, others: "VictimOptions") -> "VictimOptions":
        """These options, and others where these say nothing.

        Args:
            others: what holds by default.

        Example:
            >>> VictimOptions(bits=8).over(VictimOptions(bits=16, size=32)).said()
            {'bits': 8, 'size': 32}
        """
        return replace(others, **self.said())

    def contract(self) -> InputContract:
        """The same as a contract: pixels in [0, 1], mean and std of red, green and blue.

        Raises:
            HashprobeError: a value out of range.

        Example:
            >>> VictimOptions(range="-1..1").contract().mean
            (0.5, 0.5, 0.5)
        """
        return self.at(SIZE if self.size is None else self.size)

    def at(self, size: int) -> InputContract:
        """The contract at a size."""
        scale, offset = SPANS[self.range or "0..1"]
        mean = per_channel(0.0 if self.mean is None else self.mean, "mean")
        std = per_channel(1.0 if self.std is None else self.std, "std")
        if min(std) <= 0:
            raise HashprobeError(f"std must be above 0 in every channel; got {std}")
        if self.bgr:
            mean, std = mean[::-1], std[::-1]
        if self.size is not None:
            check_whole("size", self.size, 1, MAX_SIDE)
        first, second, third = ((m - offset) / scale for m in mean)
        red, green, blue = (s / scale for s in std)
        return InputContract(
            size,
            (first, second, third),
            (red, green, blue),
            self.filter or "bilinear",
            "crop" if self.fit == "shorter" else self.fit or "squash",
            self.frames or 0,
            bool(self.bgr),
            self.layout or "nchw",
            self.resize_to or 0,
        )


NAMES = tuple(each.name for each in fields(VictimOptions))


def options_of(given: Mapping[str, Any], where: str = "a victim") -> VictimOptions:
    """Options out of a mapping; unknown ones are refused.

    Args:
        given: names of `VictimOptions` to values; `resize` is another name for `fit`.
        where: what an error says has them.

    Raises:
        HashprobeError: an unknown option, or a value that it does not take.

    Example:
        >>> options_of({"bit": 8}, "net.yaml")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: net.yaml has no option 'bit'; did you mean bits?
    """
    known: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        name = "fit" if name == "resize" else name
        if name not in NAMES:
            close = nearest(name, NAMES)
            hint = f"did you mean {close}?" if close else f"options are {', '.join(NAMES)}"
            raise HashprobeError(f"{where} has no option {shown(key)}; {hint}")
        if name in known:
            raise HashprobeError(f"{where} has both fit and resize, which are the same option")
        known[name] = value
    return VictimOptions(**known)


def beside(path: Path) -> VictimOptions:
    """What a YAML file of the same name beside a file says of it: net.yaml beside net.pt2.

    Args:
        path: the file of the network.

    Returns:
        Its options; none where there is no such file.

    Raises:
        HashprobeError: the file is not plain YAML, or holds something else.

    Example:
        >>> beside(Path("no/such/net.pt2")).said()
        {}
    """
    found = next((p for s in (".yaml", ".yml") if (p := path.with_suffix(s)).is_file()), None)
    if found is None or found == path:
        return VictimOptions()
    content = parse_yaml(read_bytes(found), str(found))
    if not isinstance(content, dict):
        raise HashprobeError(
            f"{found} must hold options of the network such as bits: 64; got {shown(content)}"
        )
    try:
        options = options_of(content, str(found))
    except HashprobeError as error:
        text = str(error).removeprefix(f"{found} ")
        hint = f" (it is read as what {path.name} expects: rename it if it is something else)"
        raise HashprobeError(f"{found} {text}{hint}") from error
    if options.binarise in (None, "sign", "median"):
        return options
    # A path in a file is from where the file is.
    return replace(options, binarise=found.parent / os.path.expanduser(str(options.binarise)))


def per_channel(values: Any, name: str) -> tuple[float, float, float]:
    """One number a channel; one number for all three is taken, too."""
    array = as_numpy(values, name).astype(np.float64).ravel()
    if array.size not in (1, 3) or not np.isfinite(array).all():
        raise HashprobeError(
            f"{name} must be one number, or one for each of 3 channels; got {shown(values)}"
        )
    first, second, third = np.broadcast_to(array, 3).tolist()
    return (first, second, third)
