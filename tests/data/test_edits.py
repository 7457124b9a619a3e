"""Benign edits: each does what its name says, the same each time."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from hashprobe import HashprobeError
from hashprobe.data.edits import EDITS, EditedCopies, apply_edit, edited_copies
from hashprobe.victims import load_victim


@pytest.fixture(scope="module")
def photograph():
    """160 x 120 pixels of a photograph."""
    return np.array(Image.fromarray(load_sample_image("china.jpg")).resize((160, 120)))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_a_picture_the_same_each_time(name, photograph):
    before = photograph.copy()
    made = apply_edit(name, photograph)
    assert made.dtype == np.uint8
    assert np.array_equal(photograph, before)
    assert made.shape != before.shape or not np.array_equal(made, before)
    assert np.array_equal(made, apply_edit(name, torch.from_numpy(photograph)))


SHAPES = {
    "resize-0.75": (90, 120, 3),
    "resize-0.5": (60, 80, 3),
    "crop-2": (118, 156, 3),
    "crop-5": (114, 152, 3),
    "crop-10": (108, 144, 3),
    "border": (132, 172, 3),
    "caption": (134, 160, 3),
}


@pytest.mark.parametrize("name", EDITS)
def test_sizes_are_those_that_an_operator_sees(name, photograph):
    assert apply_edit(name, photograph).shape == SHAPES.get(name, (120, 160, 3))


def test_parts_of_the_picture_stay_as_they_are(photograph):
    assert np.array_equal(apply_edit("crop-10", photograph), photograph[6:-6, 8:-8])
    framed, barred = apply_edit("border", photograph), apply_edit("caption", photograph)
    assert np.array_equal(framed[6:-6, 6:-6], photograph)
    assert not framed[:6].any() and not framed[:, -6:].any()
    assert np.array_equal(barred[:120], photograph)
    assert set(np.unique(barred[120:])) == {20, 255}


def test_jpeg_is_that_of_pillow_and_loses_more_at_lower_quality(photograph):
    file = BytesIO()
    Image.fromarray(photograph).save(file, "JPEG", quality=75)
    assert np.array_equal(apply_edit("jpeg-75", photograph), np.array(Image.open(file)))
    lost = [
        np.abs(apply_edit(f"jpeg-{q}", photograph) - photograph.astype(int)).mean()
        for q in (90, 75, 50)
    ]
    assert lost == sorted(lost)


def test_light_goes_where_the_names_say(photograph):
    light = {name: apply_edit(name, photograph).mean() for name in ("brighter", "darker")}
    assert light["darker"] < 0.9 * photograph.mean() < 1.05 * photograph.mean() < light["brighter"]
    assert apply_edit("contrast", photograph).std() > 1.05 * photograph.std()
    steps = [
        np.abs(np.diff(x.astype(int), axis=1)).mean()
        for x in (apply_edit("blur", photograph), photograph)
    ]
    assert steps[0] < steps[1]


def test_small_edits_keep_a_picture_near_its_code(photograph):
    victim = load_victim("phash")
    clean = victim.codes(torch.from_numpy(photograph).permute(2, 0, 1)[None]).data
    for name in ("jpeg-90", "jpeg-50", "resize-0.5", "blur", "brighter"):
        made = torch.from_numpy(apply_edit(name, photograph)).permute(2, 0, 1)[None]
        assert np.bitwise_count(victim.codes(made).data ^ clean).sum() <= 8, name


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (3, 2, 3)])
def test_the_smallest_pictures_are_edited_too(name, shape):
    assert apply_edit(name, np.full(shape, 9, np.uint8)).size


@pytest.mark.parametrize(
    ("name", "picture", "match"),
    [
        ("jpg", np.zeros((4, 4, 3), np.uint8), "unknown edit 'jpg': choose from jpeg-90, "),
        (7, np.zeros((4, 4, 3), np.uint8), "name must be text; got 7"),
        ("blur", np.zeros((4, 4, 3)), r"uint8 \(H, W, 3\) in 0..255; got an array of float64"),
        ("blur", np.zeros((3, 9, 9), np.uint8), r"shape \(3, 9, 9\): put the channels last"),
        ("blur", np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
        ("blur", np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        ("blur", [[[1, 2, 3]]], "got a list"),
        ("blur", None, "got None"),
    ],
)
def test_wrong_names_and_pictures_are_one_line(name, picture, match):
    with pytest.raises(HashprobeError, match=match):
        apply_edit(name, picture)


def test_a_database_of_copies_knows_where_each_comes_from(photograph):
    pictures = [photograph, photograph[:50, :70]]
    made = edited_copies(pictures, ["crop-5", "blur"], originals=True)
    assert made.sources.tolist() == [0, 0, 0, 1, 1, 1]
    assert made.edits == ("original", "crop-5", "blur") * 2
    for source, name, copy in zip(made.sources, made.edits, made.pictures, strict=True):
        wanted = pictures[source] if name == "original" else apply_edit(name, pictures[source])
        assert np.array_equal(copy, wanted)
    assert [one.shape for one in made.channels_first][:2] == [(3, 120, 160), (3, 114, 152)]
    assert len(load_victim("dhash").encode(made.channels_first, labels=made.sources)) == 6
    assert len(edited_copies(pictures)) == 10


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda p: edited_copies([]), "needs pictures; got none"),
        (lambda p: edited_copies([p], []), "needs edits; got none"),
        (lambda p: edited_copies([p], ["wave"]), "unknown edit 'wave'"),
        (lambda p: edited_copies([p.astype(float)]), "got an array of float64"),
        (
            lambda p: EditedCopies([p], np.array([0, 1]), ("blur",)),
            "1 pictures, 2 sources and 1 edits",
        ),
    ],
)
def test_databases_that_make_no_sense_are_refused(call, match, photograph):
    with pytest.raises(HashprobeError, match=match):
        call(photograph)
