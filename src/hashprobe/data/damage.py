"""Damage that Pillow does not see: it fills in what a PNG or a GIF lacks, pixels or colours."""

import zlib
from typing import Any, TypeAlias

import numpy as np


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel by the colour type of a PNG."""
KNOWN = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""The chunks of a PNG that no reader may pass over."""
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
"""First column, first row and both steps of the passes of an interlaced PNG (Adam7)."""
PIECE = 1 << 16
"""Bytes of compressed rows that are counted at once."""
Chunks: TypeAlias = list[tuple[bytes, memoryview]]
"""Kind and content of the chunks of a PNG."""


class Undecodable(Exception):
    """Why a picture cannot be decoded."""


def chunks_of(data: bytes) -> Chunks:
    """The chunks of a PNG.

    Raises:
        Undecodable: it is cut off, a checksum is wrong, chunks come twice, or one is unknown that
            no reader may pass over.
    """
    found: Chunks = []
    place, kind, view = 8, b"", memoryview(data)
    while kind != b"IEND":
        end = place + 12 + int.from_bytes(view[place : place + 4], "big")
        if end > len(data):
            raise Undecodable("is cut off")
        kind = bytes(view[place + 4 : place + 8])
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise Undecodable("is damaged: a checksum is wrong")
        found.append((kind, view[place + 8 : end - 4]))
        place = end
    kinds = [kind for kind, _ in found]
    twice = [kind for kind in (b"IHDR", b"PLTE") if kinds.count(kind) > 1]
    # A capital letter in front says that a chunk is needed to show the picture.
    foreign = [kind for kind in kinds if kind not in KNOWN and not kind[0] & 32]
    if twice or foreign:
        seen = f"{twice[0].decode()} twice" if twice else f"an unknown chunk {foreign[0]!r}"
        raise Undecodable(f"is damaged: it has {seen}")
    return found


def check_rows(chunks: Chunks) -> None:
    """Refuses a PNG in which rows are missing.

    Raises:
        Undecodable: the compressed data end before the last row.
    """
    head, there = chunks[0][1], 0
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (0, 4))
    bits, interlaced = head[8] * CHANNELS[head[9]], head[12]
    wanted = 0
    for x, y, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(x, width, right)), len(range(y, height, down))
        wanted += rows * (1 + -(-columns * bits // 8)) if columns else 0
    unpacker = zlib.decompressobj()
    for kind, content in chunks:
        for start in range(0, len(content) if kind == b"IDAT" else 0, PIECE):
            rest: Any = content[start : start + PIECE]
            while rest and there < wanted:
                there += len(unpacker.decompress(rest, 1 << 20))
                rest = unpacker.unconsumed_tail
    if there < wanted:
        raise Undecodable("is damaged: rows are missing")


def png_colours(chunks: Chunks) -> int:
    """Colours of the palette of a PNG; 0 without one in front of the pixels.

    Raises:
        Undecodable: a part of a colour.
    """
    kind, content = next(part for part in chunks if part[0] in (b"PLTE", b"IDAT"))
    size = len(content) if kind == b"PLTE" else 0
    if size % 3:
        raise Undecodable(f"is damaged: its palette has {size} bytes, 3 for each colour")
    return size // 3


def gif_colours(data: bytes) -> int:
    """Colours in the table of the first frame of a GIF, its own or that of all frames, or 0."""
    shared, place = table_size(data[10]), 13
    place += 3 * shared
    while data[place] != ord(","):
        if data[place] == ord("!"):
            place += 2
            while data[place]:
                place += 1 + data[place]
        place += 1
    return table_size(data[place + 9]) or shared


def table_size(flags: int) -> int:
    """Colours of a table of a GIF by the byte that announces it."""
    return 2 << (flags & 7) if flags & 128 else 0


def check_colours(places: np.ndarray, colours: int, transparent: int | None = None) -> None:
    """Refuses pixels whose colours are not there.

    Args:
        places: of the pixels' colours in the palette.
        colours: of the palette.
        transparent: a place that needs no colour.

    Raises:
        Undecodable: there is no palette, or it is too short.
    """
    if not colours:
        raise Undecodable("is damaged: its palette is missing")
    if places.max() < colours:
        return
    beyond = places[places >= colours]
    if transparent is None or (beyond != transparent).any():
        raise Undecodable(
            f"is damaged: a pixel has colour {beyond.max()} of a palette of {colours}"
        )
