"""Counts and first items against plain loops and sorts."""

import numpy as np
import pytest

from hashprobe.evaluation.counting import count_distances, count_values, nearest


@pytest.mark.parametrize("bits", [1, 7, 8, 32, 120, 127, 128, 250, 512])
@pytest.mark.parametrize("n", [1, 50, 20_001])
def test_counts_are_those_of_a_plain_loop(bits, n):
    rng = np.random.default_rng(bits + n)
    kind = np.uint8 if bits <= 255 else np.uint16
    distances = rng.integers(0, bits + 1, (3, n)).astype(kind)
    distances[0], distances[1, :2] = bits, 0
    relevant = rng.random((3, n)) < 0.3
    counts = count_distances(distances, relevant, bits)
    for row in range(3):
        for side, chosen in enumerate((~relevant[row], relevant[row])):
            expected = np.bincount(distances[row][chosen], minlength=bits + 1)
            np.testing.assert_array_equal(counts[row, side], expected)


@pytest.mark.parametrize("n", [0, 1, 2, 999])
def test_values_are_counted_as_by_bincount(n):
    values = np.random.default_rng(n).integers(0, 66, n).astype(np.uint8)
    np.testing.assert_array_equal(count_values(values, 66), np.bincount(values, minlength=66))


@pytest.mark.parametrize("top", [1, 7, 299, 300, 400])
@pytest.mark.parametrize("highest", [0, 3, 255])
def test_nearest_is_the_head_of_a_stable_sort(top, highest):
    rng = np.random.default_rng(top)
    distances = rng.integers(0, highest + 1, 300).astype(np.uint8)
    relevant = rng.random(300) < 0.5
    order = np.argsort(distances, kind="stable")[:top]
    near, good = nearest(distances, relevant, top)
    np.testing.assert_array_equal(near, distances[order])
    np.testing.assert_array_equal(good, relevant[order])
