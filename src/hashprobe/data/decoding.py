"""The pixels of one picture file; whatever is wrong with it is an error of Python, never a crash.

JPEG is decoded by libjpeg-turbo (torchvision), everything else by Pillow.
"""

import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.data.damage import (
    Undecodable,
    check_colours,
    check_rows,
    chunks_of,
    gif_colours,
    png_colours,
)
from hashprobe.data.jpeg_header import plain_size


FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""Pillow's names of the accepted formats; which one a file has is seen by its content."""
MAX_PIXELS = 150_000_000
"""Pixels of the largest picture that is decoded, by its header."""
MAX_BYTES = 1 << 30
"""Bytes of the largest picture file that is read."""
ORIENTATION = 0x0112
"""The number of the orientation in EXIF data."""
UPRIGHT = {2: (False, (-1,)), 3: (False, (-2, -1)), 4: (False, (-2,)), 5: (True, ()),
           6: (True, (-1,)), 7: (True, (-2, -1)), 8: (True, (-2,))}  # fmt: skip
"""Orientation to whether rows and columns change places, and which axes are mirrored then."""
JPEG_SCHEMA, JPEG_RGB = "image::decode_jpeg(Tensor data, int mode", 3
"""How the operation of torchvision's library is called, and its number for RGB."""


def decode_picture(path: str | Path) -> UInt8[Tensor, "3 h w"]:
    """RGB pixels of a JPEG, PNG or WebP file, or of the first frame of a GIF, turned upright.

    Transparency is dropped, 16 bits become 8, and the EXIF orientation is applied once, for every
    format.

    Args:
        path: a regular file of at most 1 GiB.

    Returns:
        (3, H, W) in 0..255; H x W is at most 150 million.

    Raises:
        Undecodable: the file is missing, no regular file, no such picture, too large, cut off or
            damaged.

    Example:
        >>> decode_picture(Path("no/such/picture.png"))
        Traceback (most recent call last):
        ...
        hashprobe.data.damage.Undecodable: no such file
    """
    data = content(path)
    size = plain_size(data)
    if size is not None and size[0] * size[1] <= MAX_PIXELS:
        with suppress(Exception):  # what is wrong with it is said below
            return jpeg_pixels(data)
    with reasons():
        from PIL import Image

        # The header alone is read here; a claim of very many pixels is refused before decoding.
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            check_size(*image.size)
            if image.format in ("JPEG", "MPO"):
                pixels = jpeg_pixels(data)
            else:
                pixels = torch.from_numpy(rgb(image, data)).permute(2, 0, 1)
            # A PNG may have its EXIF data behind its pixels.
            return upright(pixels, orientation(image))


def content(path: str | Path) -> bytes:
    """The bytes of a regular file that is not too large."""
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise Undecodable("is no regular file")
        if about.st_size > MAX_BYTES:
            raise Undecodable(f"has {about.st_size:,} bytes; at most {MAX_BYTES:,} are read")
        if not about.st_size:
            raise Undecodable("is empty")
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        raise Undecodable("no such file") from None
    except OSError as error:
        raise Undecodable(error.strerror or str(error)) from None
    except ValueError:
        raise Undecodable("no file can have this name") from None


@contextmanager
def reasons() -> Iterator[None]:
    """Gives whatever a decoder raises as an Undecodable with one line."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns below its own limit.
            warnings.simplefilter("ignore")
            yield
    except Undecodable:
        raise
    except UnidentifiedImageError:
        raise Undecodable("is no JPEG, PNG, WebP or GIF that can be read") from None
    except Image.DecompressionBombError:
        raise Undecodable(too_large("more")) from None
    except MemoryError:
        raise Undecodable("does not fit into memory") from None
    except Exception as error:  # the readers of Pillow raise errors of a dozen types
        # The message of torchvision begins with a place in its source.
        text = re.sub(r"^.*\.cpp:\d+, ", "", str(error).partition("\n")[0])
        raise Undecodable(text or f"is damaged ({type(error).__name__})") from None


def check_size(width: int, height: int) -> None:
    """Refuses a picture of no pixels or of too many."""
    if width * height > MAX_PIXELS:
        raise Undecodable(too_large(f"{width} x {height}"))
    if width < 1 or height < 1:
        raise Undecodable(f"claims {width} x {height} pixels")


def too_large(seen: str) -> str:
    """The sentence about a picture of too many pixels."""
    return f"claims {seen} pixels; at most {MAX_PIXELS:,} are decoded: make it smaller"


def jpeg_pixels(data: bytes) -> UInt8[Tensor, "3 h w"]:
    """The pixels of a JPEG as they lie in the file."""
    pixels: Tensor = jpeg_decoder()(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return pixels


@cache
def jpeg_decoder() -> Callable[[Tensor], Tensor]:
    """The JPEG decoder of torchvision, from the bytes of a file to RGB.

    Its library is loaded by itself where it can be: the package imports all networks first, which
    takes as long as torch.
    """
    try:
        found = find_spec("torchvision")
        folders = (found and found.submodule_search_locations) or ()
        libraries = [p for folder in folders for p in sorted(Path(folder).glob("image*"))]
        library = next(p for p in libraries if p.suffix in (".so", ".pyd", ".dylib"))
        torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        operation = torch.ops.image.decode_jpeg.default
        if str(operation._schema).startswith(JPEG_SCHEMA):
            return partial(operation, mode=JPEG_RGB)
    except (AttributeError, OSError, RuntimeError, StopIteration):
        pass
    from torchvision.io import ImageReadMode, decode_jpeg

    def by_package(data: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # version 0.29 announces a successor
            pixels: Tensor = decode_jpeg(data, mode=ImageReadMode.RGB)
        return pixels

    return by_package


def rgb(image: Any, data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of an opened picture of Pillow as they lie in the file, without transparency."""
    chunks = chunks_of(data) if image.format == "PNG" else []
    order = str(image.tile[0].args) if chunks and image.tile else ""
    if order in ("RGB;16B", "RGBA;16B", "LA;16B"):
        check_rows(chunks)
        return deep_rgb(data, order)
    image.load()
    values = np.asarray(image)
    # Pillow leaves rows that are missing at 0.
    if chunks and (image.info.get("interlace") or not values[-1].any()):
        check_rows(chunks)
    if chunks and image.mode == "P":
        check_colours(values, png_colours(chunks))
    if image.format == "GIF":
        check_colours(values, gif_colours(data), image.info.get("transparency"))
    if image.mode == "I;16":
        return grey_rgb(to_eight_bits(values))
    if image.mode == "RGB":
        return values.copy()
    if image.mode in ("L", "1"):
        return np.array(image.convert("RGB"))
    # Transparent pixels keep their colours; convert("RGB") would warn of some palettes.
    return np.ascontiguousarray(np.asarray(image.convert("RGBA"))[:, :, :3])


def deep_rgb(data: bytes, order: str) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a PNG in colour, or in grey with transparency, of 16 bits a value.

    Pillow keeps the high bytes alone. Read as if they were little-endian, it keeps the low ones;
    grey and transparency of 16 bits have as many bytes as four values of 8.
    """
    if order == "LA;16B":
        both = unpacked(data, "RGBA").astype(np.uint16)
        return grey_rgb(to_eight_bits(both[..., 0] << 8 | both[..., 1]))
    high = unpacked(data, order).astype(np.uint16)
    low = unpacked(data, order.replace("16B", "16L"))
    return to_eight_bits((high << 8 | low)[..., :3])


def unpacked(data: bytes, order: str) -> UInt8[np.ndarray, "h w _"]:
    """The values of a PNG, unpacked in an order that Pillow knows."""
    from PIL import Image

    with Image.open(BytesIO(data), formats=("PNG",)) as image:
        image.tile = [tile._replace(args=order) for tile in image.tile]
        return np.array(image)


def grey_rgb(grey: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Grey values as three equal colours."""
    return np.stack([grey] * 3, axis=-1)


def to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Values of 16 bits as the nearest of 8."""
    table = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)
    eight: np.ndarray = table[values]
    return eight


def orientation(image: Any) -> int:
    """The EXIF orientation of an opened picture, 1 to 8; 1 where it states none."""
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
        value = exif.get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data say nothing, and no pixel depends on the rest of them
        return 1
    return value if value in UPRIGHT else 1


def upright(pixels: UInt8[Tensor, "3 h w"], turned: int) -> UInt8[Tensor, "3 _ _"]:
    """Pixels turned and mirrored as an EXIF orientation says; this is the only place that does.

    Args:
        pixels: as they lie in the file.
        turned: 1 (as they are) to 8.

    Example:
        >>> upright(torch.zeros(3, 2, 5, dtype=torch.uint8), 6).shape
        torch.Size([3, 5, 2])
    """
    swap, mirrored = UPRIGHT.get(turned, (False, ()))
    if swap:
        pixels = pixels.transpose(-2, -1)
    return pixels.flip(mirrored) if mirrored else pixels
