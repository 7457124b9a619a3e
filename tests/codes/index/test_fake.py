import numpy as np

from hashprobe.codes.index.fake import FakeIndex
from hashprobe.codes.packed import PackedCodes


def test_it_searches_what_it_was_given():
    codes = PackedCodes.from_signs([[0, 0, 0], [1, 1, 1], [0, 0, 1], [0, 0, 0]])
    index = FakeIndex(3)
    index.add(codes[:2])
    index.add(codes[2:])
    assert index.stored == codes
    distances, positions = index.search(codes[:1], 4)
    np.testing.assert_array_equal(distances, [[0, 0, 1, 3]])
    np.testing.assert_array_equal(positions, [[0, 3, 2, 1]])
