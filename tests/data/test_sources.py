"""Sources of images and splits of them."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.data.loader import decode
from hashprobe.data.sources import ArraySource, BadImage, FileSource, Split, join
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


def read(path):
    return FileSource(path.parent, (path.name,)).read(0)


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_lossless_files_give_their_pixels(tmp_path, picture, name):
    pixels = picture(1, 12, 7)
    Image.fromarray(pixels).save(tmp_path / name, lossless=True)
    image = read(tmp_path / name)
    assert image.dtype == torch.uint8
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_every_kind_of_png_becomes_rgb(tmp_path, picture, mode):
    image = Image.fromarray(picture(2, 9, 9)).convert(mode)
    image.save(tmp_path / "a.png")
    decoded = read(tmp_path / "a.png")
    assert (decoded.dtype, decoded.shape) == (torch.uint8, (3, 9, 9))
    # Transparency is dropped, not blended.
    expected = np.asarray(image.convert("RGBA"))[:, :, :3]
    np.testing.assert_array_equal(decoded.permute(1, 2, 0).numpy(), expected)


def test_sixteen_bits_become_eight(tmp_path, picture):
    grey = picture(3)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0].numpy(), grey)


def test_jpegs_grey_cmyk_and_turned(tmp_path):
    colour = np.zeros((16, 8, 3), np.uint8)
    colour[:8] = (250, 10, 10)
    image = Image.fromarray(colour)
    image.convert("L").save(tmp_path / "grey.jpg")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    grey = read(tmp_path / "grey.jpg")
    assert torch.equal(grey[0], grey[1])
    cmyk = read(tmp_path / "cmyk.jpg").permute(1, 2, 0).numpy()
    assert np.abs(cmyk.astype(int)[:6] - (250, 10, 10)).max() < 20
    turned = read(tmp_path / "turned.jpg")
    assert turned.shape == (3, 8, 16)
    assert turned[0, :, 10:].min() > 200 > 60 > turned[0, :, :6].max()


def test_of_a_moving_gif_the_first_frame(tmp_path):
    frames = [Image.new("P", (6, 6), i) for i in (0, 1)]
    for frame in frames:
        frame.putpalette([255, 0, 0, 0, 0, 255])
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image = read(tmp_path / "a.gif")
    assert image.shape == (3, 6, 6)
    assert image[0].min() == 255
    assert image[2].max() == 0


class Broken:
    """A source of one's own."""

    def __len__(self):
        return 3

    def read(self, position):
        if position == 1:
            raise BadImage("item 1", "the store is down")
        return torch.full((3, 4, 4), position, dtype=torch.uint8)

    def fingerprint(self, position):
        return bytes([position])


def test_a_source_of_ones_own_can_be_split_and_streamed():
    split = Split(("a", "b", "c"), Broken(), np.ones((3, 1), dtype=bool)).take([2, 0, 1])
    assert split.digests() == [b"\x02", b"\x00", b"\x01"]
    pixels = decode(split, InputContract(size=4), Runtime(workers=0, skip_bad=True))
    assert pixels.images[:, 0, 0, 0].tolist() == [2, 0]
    assert pixels.bad == ("item 1: the store is down",)


@pytest.mark.parametrize("kind", ["array", "file"])
def test_equal_content_has_equal_fingerprints(kind, tmp_path, picture):
    contents = [picture(1), picture(2), picture(1)]
    if kind == "array":
        stacked = torch.from_numpy(np.stack(contents)).permute(0, 3, 1, 2)
        source = ArraySource(stacked)
    else:
        for i, pixels in enumerate(contents):
            Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        source = FileSource(tmp_path, ("0.png", "1.png", "2.png", "missing.png", "gone.png"))
    prints = [source.fingerprint(i) for i in range(len(source))]
    assert prints[0] == prints[2] != prints[1]
    assert len(set(prints)) == len(prints) - 1


def test_a_bad_image_survives_the_way_between_processes():
    bad = pickle.loads(pickle.dumps(BadImage("a.png", "cut off")))
    assert (bad.name, bad.reason, str(bad)) == ("a.png", "cut off", "a.png: cut off")


@pytest.mark.parametrize("kind", ["array", "file"])
def test_joined_splits_keep_ids_labels_and_pixels(kind, write_tree, make_split):
    if kind == "array":
        first, second = make_split([1, 2], [[1, 0]] * 2), make_split([3], [[0, 1]], "b")
    else:
        root = write_tree({"x": 3})
        paths = tuple(f"x/{i:04d}.png" for i in range(3))
        whole = Split(paths, FileSource(root, paths), np.eye(3, dtype=bool))
        first, second = whole.take([0, 1]), whole.take([2])
    both = join(first, second)
    assert both.ids == first.ids + second.ids
    assert both.digests() == first.digests() + second.digests()
    np.testing.assert_array_equal(both.labels, np.concatenate([first.labels, second.labels]))


def test_a_split_needs_as_many_ids_images_and_labels(make_split):
    split = make_split([1, 2], np.ones((2, 1)))
    with pytest.raises(HashprobeError, match="got 1 ids, 2 images and 2 labels"):
        Split(("a",), split.source, split.labels)
