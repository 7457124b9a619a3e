"""Picture files to pixels: every kind of colour, orientations, limits, and damage of every kind."""

import os
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image, decode_jpeg

from hashprobe.data import decoding
from hashprobe.data.damage import Undecodable
from hashprobe.data.decoding import decode_picture, upright
from hashprobe.data.jpeg_header import plain_size


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, width, bits, colour, *, extra=(), interlace=0):
    """A PNG of raw rows, each with its filter byte."""
    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, interlace)
    parts = [chunk(b"IHDR", head), *(chunk(*one) for one in extra)]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PALETTE = (b"PLTE", bytes(np.random.default_rng(9).integers(0, 256, 3 * 256, dtype=np.uint8)))
KINDS = [(bits, 0) for bits in (1, 2, 4, 8, 16)] + [(bits, 3) for bits in (1, 2, 4, 8)]
KINDS += [(bits, colour) for bits in (8, 16) for colour in (2, 4, 6)]


def random_png(bits, colour, *, filters=(0, 1, 2, 3, 4), extra=()):
    """A PNG of random values, 13 x 9, with every filter."""
    rng, length = np.random.default_rng(bits * 10 + colour), -(-13 * bits * CHANNELS[colour] // 8)
    rows = [
        bytes([filters[i % len(filters)]]) + rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        for i in range(9)
    ]
    entries = (b"PLTE", PALETTE[1][: 3 * 2 ** min(bits, 8)])
    return png(rows, 13, bits, colour, extra=([entries] if colour == 3 else []) + list(extra))


@pytest.fixture
def decode(tmp_path):
    """Decodes the content of a file."""

    def read(data):
        (tmp_path / "picture").write_bytes(data)
        return decode_picture(tmp_path / "picture")

    return read


def reference(data):
    """The pixels by torchvision, which decoded every picture up to version 0.1."""
    image = decode_image(
        torch.frombuffer(bytearray(data), dtype=torch.uint8),
        mode=ImageReadMode.RGB,
        apply_exif_orientation=False,
    )
    if image.dtype == torch.uint16:
        image = (image.float() / 257).round().to(torch.uint8)
    return image[0] if image.ndim == 4 else image


# Good files


@pytest.mark.filterwarnings("ignore:.*deprecated since torchvision")
@pytest.mark.parametrize(("bits", "colour"), KINDS)
def test_every_colour_type_of_png_gives_the_pixels_of_libpng(decode, bits, colour):
    data = random_png(bits, colour)
    assert torch.equal(decode(data), reference(data))


TRANSPARENT = [
    (8, 3, bytes(range(0, 250, 10))),
    (4, 3, bytes([0, 128, 255])),
    (8, 2, struct.pack(">HHH", 1, 2, 3)),
    (8, 0, struct.pack(">H", 7)),
    (16, 2, struct.pack(">HHH", 1, 2, 3)),
    (16, 0, struct.pack(">H", 7)),
]


@pytest.mark.filterwarnings("ignore:.*deprecated since torchvision")
@pytest.mark.parametrize(("bits", "colour", "values"), TRANSPARENT)
def test_transparent_colours_stay_as_they_are(decode, bits, colour, values):
    data = random_png(bits, colour, extra=[(b"tRNS", values)])
    assert torch.equal(decode(data), reference(data))


@pytest.mark.filterwarnings("ignore:.*deprecated since torchvision")
@pytest.mark.parametrize(("bits", "colour"), [(1, 0), (8, 2), (16, 2), (8, 3), (16, 4), (8, 6)])
def test_interlaced_pictures(decode, bits, colour):
    """Adam7: seven passes, each a picture of its own."""
    rng, rows = np.random.default_rng(5), []
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                         (1, 0, 2, 2), (0, 1, 1, 2)):  # fmt: skip
        width, height = len(range(x, 13, dx)), len(range(y, 9, dy))
        length = -(-width * bits * CHANNELS[colour] // 8)
        rows += [b"\0" + rng.integers(0, 256, length, dtype=np.uint8).tobytes()
                 for _ in range(height)]  # fmt: skip
    data = png(rows, 13, bits, colour, interlace=1, extra=[PALETTE] if colour == 3 else [])
    head = struct.pack(">IIBBBBB", 13, 9, bits, colour, 0, 0, 1)
    data = data[:8] + chunk(b"IHDR", head) + data[33:]
    assert torch.equal(decode(data), reference(data))


def saved(image, form, **options):
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:.*deprecated since torchvision")
@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 90}),
        ("JPEG", "RGB", {"quality": 60, "progressive": True, "subsampling": 2}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGB", {"quality": 80}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
        ("GIF", "RGB", {}),
        ("GIF", "L", {}),
    ],
)
def test_other_formats_give_the_pixels_that_torchvision_gave(decode, picture, form, mode, options):
    image = Image.fromarray(picture(3, 37, 50)).resize((61, 45)).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(picture(4, 45, 61)[..., 0]))
    data = saved(image, form, **options)
    assert torch.equal(decode(data), reference(data))


# Orientation: one place for every format


def turned_by_hand(pixels, orientation):
    """What EXIF says: where row 0 and column 0 of the stored picture are shown."""
    steps = {1: [], 2: ["lr"], 3: ["lr", "ud"], 4: ["ud"], 5: ["t"], 6: ["t", "lr"],
             7: ["t", "lr", "ud"], 8: ["t", "ud"]}  # fmt: skip
    for step in steps[orientation]:
        pixels = {"lr": lambda p: p[:, ::-1], "ud": lambda p: p[::-1], "t": lambda p: p.swapaxes(0, 1)}[step](pixels)  # fmt: skip  # noqa: E501
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_the_orientation_is_applied_once_whatever_the_format(decode, picture, form, orientation):
    pixels = np.kron(picture(7, 2, 3), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"quality": 95, "subsampling": 0}
    data = saved(Image.fromarray(pixels), form, exif=exif, **(options if form != "PNG" else {}))
    found = decode(data).permute(1, 2, 0).numpy()
    expected = turned_by_hand(pixels, orientation)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (12 if form == "JPEG" else 0)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist_turn_nothing(decode, picture, value):
    exif = Image.Exif()
    exif[0x0112] = value
    data = saved(Image.fromarray(picture(1, 4, 6)), "PNG", exif=exif)
    assert decode(data).shape == (3, 4, 6)
    assert upright(torch.zeros(3, 4, 6, dtype=torch.uint8), value).shape == (3, 4, 6)


def test_damaged_exif_data_do_not_make_a_picture_bad(decode, picture):
    data = saved(Image.fromarray(picture(1, 8, 8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data).shape == (3, 8, 8)


# Damage: an Undecodable with one line, or pixels, and never the end of the process


def forms(picture):
    image = Image.fromarray(picture(2, 64, 64))
    return {
        "PNG": saved(image, "PNG"),
        "JPEG": saved(image, "JPEG"),
        "WEBP": saved(image, "WEBP"),
        "GIF": saved(image, "GIF"),
    }


def outcome(decode, data):
    """`good`, or `bad` for an error of the right kind with one line."""
    try:
        pixels = decode(data)
    except Undecodable as error:
        assert str(error)
        assert "\n" not in str(error)
        return "bad"
    assert pixels.dtype == torch.uint8
    assert pixels.shape[0] == 3
    return "good"


def test_one_inverted_byte_of_a_png_is_an_error(decode, picture):
    data = forms(picture)["PNG"]
    begin = data.index(b"IDAT") + 4
    for place in (begin, begin + 2, begin + 100, len(data) - 20):
        wrong = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        assert outcome(decode, wrong) == "bad"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_random_damage_never_ends_the_process(decode, picture, form):
    data, rng = forms(picture)[form], np.random.default_rng(6)
    seen = set()
    for _ in range(60):
        wrong = bytearray(data)
        for place in rng.integers(len(wrong), size=rng.integers(1, 6)):
            wrong[place] = rng.integers(256)
        if rng.random() < 0.2:
            del wrong[rng.integers(len(wrong)) :]
        seen.add(outcome(decode, bytes(wrong)))
    assert "bad" in seen


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_files_that_are_cut_off_are_bad(decode, picture, form):
    data = forms(picture)[form]
    cuts = [0, 1, 20, len(data) // 2, len(data) - len(data) // 10]
    assert [outcome(decode, data[:cut]) for cut in cuts] == ["bad"] * 5


@pytest.mark.parametrize(
    ("size", "said"),
    [((40_000, 40_000), "40000 x 40000|more"), ((20_000, 8_000), "20000 x 8000 pixels; at most")],
)
@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_claims_of_too_many_pixels_are_refused_before_decoding(decode, size, said, form):
    if form == "PNG":
        data = random_png(8, 2)
        head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        data = data[:8] + chunk(b"IHDR", head) + data[33:]
    else:
        data = bytearray(saved(Image.new("P", (8, 8)), "GIF"))
        data[6:10] = struct.pack("<HH", *size)
    with pytest.raises(Undecodable, match=said):
        decode(bytes(data))


def test_what_is_no_regular_picture_file(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "huge.png").write_bytes(b"123456")
    (tmp_path / "picture.bmp").write_bytes(saved(Image.new("RGB", (4, 4)), "BMP"))
    monkeypatch.setattr(decoding, "MAX_BYTES", 5)
    for name, said in (
        ("pipe.png", "is no regular file"),
        ("folder.png", "is no regular file"),
        ("empty.png", "is empty"),
        ("huge.png", "has 6 bytes; at most 5 are read"),
        ("gone.png", "no such file"),
        ("nul\0.png", "no file can have this name"),
    ):
        with pytest.raises(Undecodable, match=said):
            decode_picture(tmp_path / name)
    monkeypatch.undo()
    for name in ("text.png", "picture.bmp"):
        with pytest.raises(Undecodable, match="is no JPEG, PNG, WebP or GIF"):
            decode_picture(tmp_path / name)


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_the_decoder_is_that_of_torchvision(tmp_path, monkeypatch):
    """Its library by itself gives the same pixels; where it cannot be loaded, the package does."""
    rng = np.random.default_rng(0)
    for mode in ("RGB", "L", "CMYK"):
        picture = Image.fromarray(rng.integers(0, 256, (33, 47, 3), np.uint8)).convert(mode)
        path = tmp_path / f"{mode}.jpg"
        picture.save(path, quality=80)
        data = torch.from_numpy(np.fromfile(path, np.uint8))
        wanted = decode_jpeg(data, mode=ImageReadMode.RGB)
        assert torch.equal(decoding.jpeg_decoder()(data), wanted)
        with monkeypatch.context() as patched:
            patched.setattr(decoding, "find_spec", lambda name: None)
            assert torch.equal(decoding.jpeg_decoder.__wrapped__()(data), wanted)


# Headers of JPEG that are read without Pillow


def jpeg(mode="RGB", size=(13, 9), **options):
    """A JPEG of random values."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(bands).integers(0, 256, (size[1], size[0], bands), np.uint8)
    out = BytesIO()
    Image.fromarray(values.squeeze(), mode).save(out, "JPEG", **options)
    return out.getvalue()


PLAIN = {
    "colours": jpeg(),
    "grey": jpeg("L"),
    "progressive": jpeg(progressive=True),
    "whole colours": jpeg(subsampling=0, quality=95),
    "half colours": jpeg(subsampling=1),
    "profile": jpeg(icc_profile=b"a profile"),
    "comment": jpeg(comment=b"a comment"),
    "restarts": jpeg(size=(64, 64), restart_marker_blocks=1),
}


def orientation_of(number):
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = number
    return exif


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_jpeg_is_decoded_without_pillow(name, decode, monkeypatch):
    """The pixels are those of Pillow and of the way through Pillow, bit by bit."""
    data = PLAIN[name]
    with Image.open(BytesIO(data)) as image:
        assert plain_size(data) == image.size
        wanted = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
        quick = decode(data)
    monkeypatch.setattr(decoding, "plain_size", lambda _: None)
    assert torch.equal(quick, wanted) and torch.equal(quick, decode(data))


@pytest.mark.parametrize(
    "data",
    [
        jpeg(exif=orientation_of(6)),
        jpeg("CMYK"),
        b"",
        b"\xff\xd8",
        jpeg()[:30],
        jpeg().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        jpeg().replace(b"\xff\xc0", b"\xff\xc1", 1),
        jpeg()[:2] + b"\xff\xe0\x00\x00" + jpeg()[2:],
        jpeg()[:2] + b"\x00" + jpeg()[2:],
        random_png(8, 2),
    ],
)
def test_what_is_not_plain_takes_pillow(data):
    assert plain_size(data) is None


def test_damage_behind_a_plain_header_is_named_as_before(decode, monkeypatch):
    data = jpeg(size=(64, 64))
    for cut in (data[: len(data) // 2], data[:-2], data.replace(b"\xff\xda", b"\xff\xd9", 1)):
        said = []
        for way in (plain_size, lambda _: None):
            monkeypatch.setattr(decoding, "plain_size", way)
            try:
                said.append(decode(cut).sum().item())
            except Undecodable as error:
                said.append(str(error))
        assert said[0] == said[1]


def test_a_claim_of_too_many_pixels_is_refused_by_either_way(decode):
    at = (data := jpeg()).index(b"\xff\xc0") + 5
    large = data[:at] + struct.pack(">HH", 65000, 65000) + data[at + 4 :]
    assert plain_size(large) == (65000, 65000)
    with pytest.raises(Undecodable, match="pixels; at most"):
        decode(large)
