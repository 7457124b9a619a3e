"""Pictures of every format with damaged bytes and with headers that claim too much."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import Case, Ended, Wanted
from stage import Stage, encoded, picture, train_words

from families.mangle import mangled


GOOD: dict[str, Callable[[], bytes]] = {
    **{
        f"PNG {mode}": (lambda mode=mode: encoded(picture(3, mode, 64), "PNG"))
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    },
    "JPEG": lambda: encoded(picture(3, size=64), "JPEG"),
    "JPEG progressive": lambda: encoded(picture(3, size=64), "JPEG", progressive=True),
    "JPEG grey": lambda: encoded(picture(3, "L", 64), "JPEG"),
    "JPEG CMYK": lambda: encoded(picture(3, "CMYK", 64), "JPEG"),
    "WebP": lambda: encoded(picture(3, size=64), "WEBP"),
    "WebP lossless": lambda: encoded(picture(3, "RGBA", 64), "WEBP", lossless=True),
    "GIF": lambda: encoded(picture(3, "P", 64), "GIF"),
    "GIF moving": lambda: encoded(
        picture(3, "P", 64), "GIF", save_all=True, append_images=[picture(4, "P", 64)]
    ),
    "BMP": lambda: encoded(picture(3, size=64), "BMP"),
    "TIFF": lambda: encoded(picture(3, size=64), "TIFF"),
    "TIFF LZW": lambda: encoded(picture(3, size=64), "TIFF", compression="tiff_lzw"),
    "TIFF deflate": lambda: encoded(picture(3, size=64), "TIFF", compression="tiff_adobe_deflate"),
}
"""A good picture of each format."""
OWN = ("PNG", "JPEG", "WebP", "GIF")
"""Formats that the project names as accepted."""
SUFFIX = {"JPEG": "jpg", "WebP": "webp", "GIF": "gif"}
PLACE = "cat/3"
"""The picture that is replaced."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG with a right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG whose header claims a size; its rows may be missing."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pieces = chunk(b"IHDR", head) + chunk(b"IDAT", data or zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + pieces + chunk(b"IEND", b"")


def idat(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One byte of the compressed rows of a PNG is inverted."""
    start = data.index(b"IDAT") + 4
    where = start + int(rng.integers(data.index(b"IEND") - 8 - start))
    changed = bytearray(data)
    changed[where] ^= 255
    return bytes(changed), f"byte {where} (IDAT) inverted"


def with_field(name: str, at: int, form: str, value: int) -> bytes:
    """A good picture with another number in its header."""
    data = bytearray(GOOD[name]())
    struct.pack_into(form, data, at, value)
    return bytes(data)


def large_jpeg() -> bytes:
    """A JPEG that claims 65,500 x 65,500 pixels."""
    data = bytearray(GOOD["JPEG"]())
    where = data.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", data, where, 65500, 65500)
    return bytes(data)


def whole_bomb() -> bytes:
    """A whole PNG of 40,000 x 40,000 pixels in black and white, 200 MB of rows in 200 KB."""
    packer = zlib.compressobj(9)
    row = b"\0" * 5001
    pieces = [packer.compress(row * 1000) for _ in range(40)]
    return png(40000, 40000, 1, 0, b"".join([*pieces, packer.flush()]))


HOSTILE: tuple[tuple[str, Callable[[], bytes], Wanted], ...] = (
    ("empty", lambda: b"", "refused"),
    ("one byte", lambda: b"\x89", "refused"),
    ("text", lambda: b"no picture\n" * 30, "refused"),
    ("a web page", lambda: b"<html><script>alert(1)</script></html>", "refused"),
    ("an SVG", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "refused"),
    ("PNG's signature alone", lambda: b"\x89PNG\r\n\x1a\n", "refused"),
    ("PNG of 40,000 x 40,000 without rows", lambda: png(40000, 40000), "refused"),
    ("PNG of 2^31-1 x 2^31-1", lambda: png(2**31 - 1, 2**31 - 1), "refused"),
    ("PNG of 2^32-1 x 1", lambda: png(2**32 - 1, 1), "refused"),
    ("PNG of 0 x 5", lambda: png(0, 5), "refused"),
    ("PNG of 100,000 x 1", lambda: png(100000, 1), "refused"),
    ("PNG of depth 3", lambda: png(8, 8, 3), "refused"),
    ("PNG of colour type 7", lambda: png(8, 8, 8, 7), "refused"),
    ("PNG with a palette that is missing", lambda: png(8, 8, 8, 3), "refused"),
    ("whole PNG of 40,000 x 40,000", whole_bomb, "refused"),
    ("JPEG of 65,500 x 65,500", large_jpeg, "refused"),
    ("JPEG's first marker alone", lambda: b"\xff\xd8\xff", "refused"),
    ("JPEG without tables", lambda: b"\xff\xd8\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9", "refused"),
    ("GIF of 65,535 x 65,535", lambda: GOOD["GIF"]()[:6] + b"\xff" * 4, "refused"),
    ("GIF frame of 65,535 pixels", lambda: GOOD["GIF"]().replace(b",\0\0\0\0@\0@\0", b",\0\0\0\0\xff\xff\xff\xff"), "refused"),
    ("BMP of 2^31-1 pixels", lambda: with_field("BMP", 18, "<i", 2**31 - 1), "refused"),
    ("BMP of -2^31 pixels", lambda: with_field("BMP", 22, "<i", -(2**31)), "refused"),
    ("TIFF that points to itself", lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "refused"),
    ("TIFF with a directory at 2^32-1", lambda: b"II*\0\xff\xff\xff\xff", "refused"),
    ("WebP that claims 4 GiB", lambda: b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff", "refused"),
    ("a PNG after 1,000 zeros", lambda: b"\0" * 1000 + GOOD["PNG RGB"](), "refused"),
    ("an npy array", lambda: b"\x93NUMPY\x01\0v\0{'descr': '<f8'}", "refused"),
)  # fmt: skip
"""Inputs that no decoder may accept."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One picture of a folder is replaced."""
    formats = list(GOOD)
    if number < len(HOSTILE):
        title, make, wanted = HOSTILE[number]
        data, suffix = make(), "png"
    elif number < len(HOSTILE) + len(formats):
        name = formats[number - len(HOSTILE)]
        data, title, suffix = GOOD[name](), f"good {name}", SUFFIX.get(name.split()[0], "png")
        wanted = "ok" if name.startswith(OWN) else "either"
    else:
        # The format with the most faults so far is drawn half of the time.
        pngs = [name for name in formats if name.startswith("PNG")]
        name = str(rng.choice(pngs if rng.random() < 0.5 else formats))
        suffix = SUFFIX.get(name.split()[0], "png")
        spoil = idat if name.startswith("PNG") and rng.random() < 0.4 else mangled
        data, title = spoil(GOOD[name](), rng)
        title, wanted = f"{name}: {title}", "either"
    route = ("read", "read", "train", "skip", "encode", "workers")[int(rng.integers(6))]
    return on_route(stage, data, f"{PLACE}.{suffix}", title, wanted, route)


def on_route(stage: Stage, data: bytes, name: str, title: str, wanted: Wanted, route: str) -> Case:
    """The case of a picture by the way in which it is read."""

    def prepare(work: Path) -> None:
        stage.copy("photos")(work)
        (work / "photos" / f"{PLACE}.png").unlink()
        (work / "photos" / name).write_bytes(data)

    title, named = f"{title}; {route}", (name, Path(name).name)
    if route == "read":
        from hashprobe.data.sources import FileSource

        return Case(
            title,
            call=lambda: FileSource(Path("photos"), (name,)).read(0),
            wanted=wanted,
            names=named,
            prepare=prepare,
        )
    training = train_words()
    if route == "skip":
        # One bad picture costs that picture only.
        wanted, more = "ok", ("--skip-bad",)
        commands: tuple[tuple[str, ...], ...] = (
            (*training, *more),
            ("encode", "run", "--workers", "0", *more),
        )
    elif route == "workers":
        wanted = "ok"
        commands = (
            (*training, "--skip-bad"),
            ("encode", "run", "--workers", "1", "--skip-bad"),
        )
    elif route == "encode":
        commands = ((*training, "--skip-bad"), ("encode", "run", "--workers", "0"))
    else:
        commands = (training,)
        # The picture may be among those that are not trained on.
        wanted = "either" if wanted == "refused" else wanted
    return Case(title, commands, wanted=wanted, names=named, prepare=prepare, check=whole_run)


def whole_run(work: Path, ended: Ended) -> str:
    """An encoded run holds whole files only."""
    parts = [path for path in (work / "run").rglob("*.part") if path.is_file()]
    return f"{parts[0].name} is left behind" if parts and ended.code in (0, 2) else ""
