"""Benign edits: what happens to pictures that nobody attacks. Imports neither torch nor Pillow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from hashprobe.checked import checked, shown
from hashprobe.errors import HashprobeError


Picture = UInt8[np.ndarray, "h w 3"]
"""One RGB picture in 0..255."""

BORDER, CAPTION = 0.05, 0.12
"""Width of a border in shorter sides, and height of a caption bar in heights."""
BLUR = 1 / 200
"""Standard deviation of the blur, in shorter sides."""


@checked
@dataclass(frozen=True)
class Edit:
    """One benign edit as commands, reports and tests know it.

    Example:
        >>> EDITS["jpeg-75"].title
        'JPEG, quality 75'
    """

    name: str
    """What it is called in options and files."""
    title: str
    """What it is called in tables and figures."""
    run: Callable[[Any], Any]
    """From a picture of Pillow, in mode RGB, to another; always the same."""


def jpeg(quality: int, image: Any) -> Any:
    """Saved as JPEG and opened again, with Pillow's other settings."""
    from PIL import Image

    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resize(share: float, image: Any) -> Any:
    """Both sides times a share, with Lanczos: the smaller picture itself, not scaled back."""
    from PIL import Image

    wanted = [max(1, round(share * side)) for side in image.size]
    return image.resize(wanted, Image.Resampling.LANCZOS)


def crop(percent: float, image: Any) -> Any:
    """The middle, with so many per cent of each side cut off, half of it at each end."""
    left, top = (round(side * percent / 200) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def rotate(degrees: float, image: Any) -> Any:
    """Turned about the middle; the size stays, and the corners are black."""
    from PIL import Image

    return image.rotate(degrees, resample=Image.Resampling.BICUBIC)


def blur(image: Any) -> Any:
    """A Gaussian blur of half a per cent of the shorter side."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(BLUR * min(image.size)))


def enhanced(kind: str, factor: float, image: Any) -> Any:
    """One of Pillow's enhancements."""
    from PIL import ImageEnhance

    return getattr(ImageEnhance, kind)(image).enhance(factor)


def border(image: Any) -> Any:
    """A black frame around it, of 5 % of the shorter side."""
    from PIL import ImageOps

    return ImageOps.expand(image, border=max(1, round(BORDER * min(image.size))))


def caption(image: Any) -> Any:
    """A white bar below it, of 12 % of the height, with dark blocks as words of one line."""
    from PIL import Image, ImageDraw

    width, height = image.size
    bar = max(1, round(CAPTION * height))
    made = Image.new("RGB", (width, height + bar), "white")
    made.paste(image, (0, 0))
    draw, place = ImageDraw.Draw(made), 0.06
    for letters in (0.16, 0.08, 0.22, 0.05, 0.13):
        ends = (round(place * width), round((place + letters) * width) - 1)
        rows = (height + round(0.3 * bar), height + round(0.7 * bar) - 1)
        if ends[0] <= ends[1] and rows[0] <= rows[1]:
            draw.rectangle((ends[0], rows[0], ends[1], rows[1]), fill=(20, 20, 20))
        place += letters + 0.04
    return made


def listed() -> dict[str, Edit]:
    """Every edit, in the order in which tables show them."""
    edits = [
        *(Edit(f"jpeg-{q}", f"JPEG, quality {q}", partial(jpeg, q)) for q in (90, 75, 50)),
        *(
            Edit(f"resize-{share}", f"resized to {share:.0%} of its sides", partial(resize, share))
            for share in (0.75, 0.5)
        ),
        *(Edit(f"crop-{p}", f"cropped by {p} %", partial(crop, p)) for p in (2, 5, 10)),
        *(
            Edit(f"rotate-{d}", f"rotated by {d} degree{'s' * (d > 1)}", partial(rotate, d))
            for d in (1, 2, 6)
        ),
        Edit("blur", "blurred", blur),
        Edit("brighter", "brighter by 20 %", partial(enhanced, "Brightness", 1.2)),
        Edit("darker", "darker by 20 %", partial(enhanced, "Brightness", 0.8)),
        Edit("contrast", "contrast raised by 20 %", partial(enhanced, "Contrast", 1.2)),
        Edit("border", "with a black border", border),
        Edit("caption", "with a caption bar", caption),
    ]
    return {edit.name: edit for edit in edits}


EDITS: Mapping[str, Edit] = MappingProxyType(listed())
"""Every benign edit by name, in the order in which tables show them."""
COPIES = ("jpeg-75", "resize-0.75", "crop-2", "brighter", "contrast")
"""Edits of the copies that make a database where none are named: those that a matching system must
bear."""


@checked
def apply_edit(name: str, picture: Any) -> Picture:
    """A picture after one benign edit, by Pillow; the same each time.

    An edit gives what an operator sees: a resized, cropped or framed picture has another size. A
    victim of a fixed size resizes it once more, as its contract says.

    Args:
        name: a name from `EDITS`.
        picture: (H, W, 3) in 0..255, an array or a tensor.

    Returns:
        (H', W', 3) in 0..255, a new array.

    Raises:
        HashprobeError: an unknown name, or no such picture.

    Example:
        >>> apply_edit("resize-0.5", np.zeros((20, 30, 3), np.uint8)).shape
        (10, 15, 3)
    """
    from PIL import Image

    edit = edit_named(name)
    return np.array(edit.run(Image.fromarray(as_picture(picture))))


def edit_named(name: str) -> Edit:
    """The edit of a name.

    Raises:
        HashprobeError: there is none; the known ones are named.

    Example:
        >>> edit_named("blurr")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: unknown edit 'blurr': choose from jpeg-90, jpeg-75, ...
    """
    if name not in EDITS:
        raise HashprobeError(f"unknown edit {shown(name)}: choose from {', '.join(EDITS)}")
    return EDITS[name]


def as_picture(picture: Any) -> Picture:
    """One picture as an array; refuses everything else."""
    array = picture.detach().cpu().numpy() if hasattr(picture, "detach") else picture
    shape = tuple(getattr(array, "shape", ()))
    whole = isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.size
    if not whole or len(shape) != 3 or shape[2] != 3:
        first = ": put the channels last" if len(shape) == 3 and shape[0] == 3 else ""
        raise HashprobeError(
            f"a picture must be uint8 (H, W, 3) in 0..255; got {shown(picture)}{first}"
        )
    return np.ascontiguousarray(array)


@checked
@dataclass(frozen=True, eq=False)
class EditedCopies:
    """Edited copies of pictures, with the picture that each was made from.

    Raises:
        HashprobeError: another number of sources or names than of pictures.

    Example:
        >>> EditedCopies([np.zeros((4, 6, 3), np.uint8)], np.array([0]), ("blur",)).channels_first
        [array(...)]
    """

    pictures: Sequence[Any]
    """M pictures (H, W, 3) in 0..255, of several sizes."""
    sources: Int64[np.ndarray, " m"]
    """(M,) the place of the picture that each was made from: copies of one picture match."""
    edits: tuple[str, ...]
    """M names of edits; `original` for an unchanged picture."""

    def __post_init__(self) -> None:
        counts = {len(self.pictures), len(self.sources), len(self.edits)}
        if len(counts) > 1:
            raise HashprobeError(
                f"{len(self.pictures)} pictures, {len(self.sources)} sources and "
                f"{len(self.edits)} edits: give one each"
            )

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def channels_first(self) -> list[UInt8[np.ndarray, "3 h w"]]:
        """The same pictures as (3, H, W), as victims take them."""
        return [np.ascontiguousarray(one.transpose(2, 0, 1)) for one in self.pictures]


@checked
def edited_copies(
    pictures: Sequence[Any], edits: Sequence[str] = COPIES, *, originals: bool = False
) -> EditedCopies:
    """A database of edited copies of pictures, as those of a matching system are.

    Args:
        pictures: N pictures (H, W, 3) in 0..255.
        edits: names from `EDITS`; each picture is copied once for each.
        originals: whether the unchanged pictures stand in it, too, each before its copies.

    Returns:
        N times as many pictures as edits, those of one picture after another.

    Raises:
        HashprobeError: no pictures, an unknown edit, or none.

    Example:
        >>> pictures = [np.zeros((20, 30, 3), np.uint8), np.ones((8, 8, 3), np.uint8)]
        >>> copies = edited_copies(pictures, ["jpeg-90", "crop-10"])
        >>> copies.sources.tolist(), copies.edits
        ([0, 0, 1, 1], ('jpeg-90', 'crop-10', 'jpeg-90', 'crop-10'))
    """
    for name in edits:
        edit_named(name)
    if not len(pictures) or not (edits or originals):
        what = "edits" if len(pictures) else "pictures"
        raise HashprobeError(f"a database of edited copies needs {what}; got none")
    names = (*(["original"] if originals else []), *edits)
    made = [
        as_picture(picture).copy() if name == "original" else apply_edit(name, picture)
        for picture in pictures
        for name in names
    ]
    return EditedCopies(
        made, np.repeat(np.arange(len(pictures)), len(names)), names * len(pictures)
    )
