"""What Pillow fills in by itself is refused: missing palettes, colours, rows; good files stay."""

import struct
import zlib

import numpy as np
import pytest

from hashprobe.data.damage import Undecodable
from hashprobe.data.decoding import decode_picture


PALETTE = bytes(range(100, 112))
RED = bytes([200, 10, 20])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*parts, bits=8, colour=3, interlace=0):
    """A PNG of 8 x 8 with these chunks between header and end."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, bits, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts) + chunk(b"IEND", b"")


def idat(values, rows=8, length=8):
    """Rows of one value."""
    return chunk(b"IDAT", zlib.compress((b"\0" + bytes([values]) * length) * rows))


def plte(content=PALETTE):
    return chunk(b"PLTE", content)


def gif(shared=b"", own=b"", *, place=1, transparent=None, frame=8):
    """A GIF of 8 x 8 whose frame has one colour; tables have 4 colours."""
    out = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x81 if shared else 0, 0, 0) + shared
    out += b"!\xfe\x04text\0"
    if transparent is not None:
        out += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    out += b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0x81 if own else 0) + own
    codes = bytes([128] + [place] * frame**2 + [129])  # a code of 8 bits for each pixel
    return out + b"\x07" + bytes([len(codes)]) + codes + b"\0;"


@pytest.fixture
def decode(tmp_path):
    """Decodes the content of a file."""

    def read(data):
        (tmp_path / "picture").write_bytes(data)
        return decode_picture(tmp_path / "picture").permute(1, 2, 0).numpy()

    return read


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (png(plte(), idat(3)), PALETTE[9:]),
        (png(plte(), idat(0)), PALETTE[:3]),
        (png(plte(RED), idat(0, length=1), bits=1), RED),
        (png(plte(RED + RED), chunk(b"tRNS", b"\0"), idat(0xFF, length=1), bits=1), RED),
        (png(chunk(b"tEXt", b"a\0b"), idat(0, length=24), colour=2), b"\0\0\0"),
        (png(idat(0, length=48), bits=16, colour=2), b"\0\0\0"),
        (png(plte(RED), idat(0, rows=12)), RED),
        (gif(PALETTE), PALETTE[3:6]),
        (gif(own=PALETTE), PALETTE[3:6]),
        (gif(RED * 4, PALETTE, place=3), PALETTE[9:]),
        (gif(bytes([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]), place=2), b"\2\2\2"),
        (gif(PALETTE, transparent=9), PALETTE[3:6]),
        (gif(PALETTE, transparent=9, place=9), b"\0\0\0"),
    ],
)
def test_whole_pictures_have_the_colours_of_their_palette(decode, data, colour):
    assert np.array_equal(decode(data), np.tile(np.frombuffer(colour, np.uint8), (8, 8, 1)))


def test_a_frame_that_does_not_fill_its_picture(decode):
    """Around it is what Pillow puts there, also where that is transparent and has no colour."""
    for data, outside in ((gif(PALETTE, frame=4), PALETTE[:3]),
                          (gif(PALETTE, frame=4, transparent=9), b"\0\0\0")):  # fmt: skip
        found = decode(data)
        assert found[0, 0].tobytes() == PALETTE[3:6] and found[-1, -1].tobytes() == outside


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(idat(0)), "palette is missing"),
        (png(chunk(b"tRNS", b"\0\1"), idat(0)), "palette is missing"),
        (png(plte(b""), idat(0)), "palette is missing"),
        (png(idat(0), plte()), "palette is missing"),
        (png(plte(b"abcd"), idat(0)), "palette has 4 bytes, 3 for each colour"),
        (png(plte(), idat(4)), "colour 4 of a palette of 4"),
        (png(plte(), chunk(b"tRNS", b"\xff" * 5), idat(4)), "colour 4 of a palette of 4"),
        (png(plte(RED), idat(0xFF, length=1), bits=1), "colour 1 of a palette of 1"),
        (png(plte(), plte(RED), idat(0)), "PLTE twice"),
        (png(chunk(b"IHDR", bytes([0, 0, 0, 4] * 2) + b"\x08\3\0\0\0"), plte(), idat(0)), "IHDR"),
        (png(plte(), chunk(b"ABCD", b""), idat(0)), "unknown chunk b'ABCD'"),
        (png(plte()), "cannot load"),
        (png(plte(), idat(1, rows=4)), "rows are missing"),
        (png(idat(9, rows=7, length=24), colour=2), "rows are missing"),
        (png(idat(9, rows=1), colour=0), "rows are missing"),
        (png(idat(9, rows=7, length=16), bits=16, colour=0), "rows are missing|truncated"),
        (png(idat(9, rows=7, length=48), bits=16, colour=2), "rows are missing"),
        (png(plte()[:-1] + b"\0", idat(0)), "is no JPEG, PNG"),
        (png(plte(), idat(0)[:-1] + b"\0"), "checksum"),
        (gif(), "palette is missing"),
        (gif(PALETTE, place=4), "colour 4 of a palette of 4"),
        (gif(own=PALETTE, place=9), "colour 9 of a palette of 4"),
        (gif(bytes(12), place=4, transparent=9), "colour 4 of a palette of 4"),
        (gif(bytes([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]), place=5), "colour 5 of a palette of 4"),
    ],
)
def test_pictures_that_lack_something_are_refused(decode, data, words):
    with pytest.raises(Undecodable, match=words):
        decode(data)


@pytest.mark.parametrize("value", [0, 9])
def test_interlaced_pictures_have_all_of_their_passes(decode, value):
    sizes = ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8))  # rows and columns at 8 x 8
    raw = [b"".join([b"\0" + bytes([value]) * wide] * high) for high, wide in sizes]
    for passes in range(1, 8):
        rows = chunk(b"IDAT", zlib.compress(b"".join(raw[:passes])))
        data = png(rows, colour=0, interlace=1)
        if passes == 7:
            assert (decode(data) == value).all()
            continue
        with pytest.raises(Undecodable, match=r"rows are missing|truncated"):
            decode(data)
