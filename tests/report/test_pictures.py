import base64
import io
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hashprobe.errors import HashprobeError
from hashprobe.report.content import Curve
from hashprobe.report.figures import curve_figure
from hashprobe.report.pictures import amplification, amplified_difference, data_address


def decode(address):
    return Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))


def test_small_pictures_are_exact_and_large_ones_reduced():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3, 64, 20), dtype=np.uint8)
    back = np.asarray(decode(data_address(small, 16)))
    np.testing.assert_array_equal(back.transpose(2, 0, 1), small)
    large = rng.integers(0, 256, (3, 100, 300), dtype=np.uint8)
    image = decode(data_address(large, 224))
    assert image.format == "JPEG"
    assert image.size == (224, 75)
    assert decode(data_address(large[:, :, :120], 224)).size == (120, 100), "never enlarged"


def test_frames_are_reduced_as_frames():
    """Seven frames are seven times as wide as one and not reduced as one wide picture."""
    frames = np.random.default_rng(0).integers(0, 256, (7, 3, 128, 128), dtype=np.uint8)
    assert decode(data_address(frames, 112)).size == (784, 112)
    small = frames[:, :, :20, :64]
    back = np.asarray(decode(data_address(small, 16)))
    np.testing.assert_array_equal(back.transpose(2, 0, 1), np.concatenate([*small], axis=2))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 8, 8), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((7, 1, 8, 8), np.uint8),
    ],
)
def test_other_arrays_are_refused(bad):
    # The undecorated function: the shape check of the tests would be quicker than ours.
    with pytest.raises(HashprobeError, match=r"\(3, H, W\) uint8; got"):
        getattr(data_address, "__wrapped__", data_address)(bad, 64)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(1, 127), st.integers(0, 2**32 - 1))
def test_the_factor_is_the_largest_that_does_not_clip(step, seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(127, 129, (3, 4, 4), dtype=np.uint8)
    b = (a + rng.integers(-step, step + 1, a.shape)).astype(np.uint8)
    largest = int(np.abs(b.astype(int) - a).max())
    factor = amplification([(a, a), (a, b)])
    shown = amplified_difference(a, b, factor).astype(int) - 128
    np.testing.assert_array_equal(shown, factor * (b.astype(int) - a))
    assert factor >= 1
    if largest:
        assert (factor + 1) * largest > 127


def test_nothing_changed_is_mid_grey():
    a = np.array([[[0]], [[255]], [[7]]], np.uint8)
    assert amplification([]) == amplification([(a, a)]) == 1
    assert (amplified_difference(a, a, 9) == 128).all()
    assert amplification([(a, 255 - a)]) == 1


def test_a_figure_is_a_whole_svg_the_same_twice_and_leaves_no_trace():
    curves = [Curve("_a & b <c> $x", [1, 10, 100], [1.0, 0.5, 0.2]), Curve("字", [1, 9], [0, 1])]
    before = dict(matplotlib.rcParams)
    first = curve_figure(curves, x_label="N", y_label="Precision", log_x=True)
    assert first == curve_figure(curves, x_label="N", y_label="Precision", log_x=True)
    assert dict(matplotlib.rcParams) == before
    root = ET.fromstring(first)
    assert root.tag.endswith("svg")
    text = " ".join(root.itertext())
    for word in ("_a & b <c> $x", "字", "Precision", "N", "100"):
        assert word in text
    assert "mathdefault" not in text
