"""Rows of pictures: where they stand, and that they keep their shape."""

import numpy as np
import pytest

from hashprobe.report.grids import ROOM, Strip, Tile, draw


def tile(frames=None, text=""):
    shape = (3, 8, 8) if frames is None else (frames, 3, 8, 8)
    return Tile(np.full(shape, 99, np.uint8), text, "right")


def boxes(strips):
    """(row, column) to left, bottom, width, height of each picture in inches, and the figure."""
    figure = draw(strips)
    size = np.tile(figure.get_size_inches(), 2)
    found = iter(figure.axes)
    places = {
        (i, j): np.array(next(found).get_position().bounds) * size
        for i, strip in enumerate(strips)
        for j in range(len(strip.tiles))
    }
    return places, figure


def test_images_are_squares_and_strips_as_wide_as_their_frames():
    places, _ = boxes([Strip("a", (tile(), tile(3))), Strip("b", (tile(7), tile()))])
    shapes = {place: width / height for place, (_, _, width, height) in places.items()}
    assert shapes == pytest.approx({(0, 0): 1, (0, 1): 3, (1, 0): 7, (1, 1): 1})
    heights = [box[3] for box in places.values()]
    assert heights == pytest.approx([heights[0]] * 4)


def test_columns_stand_below_each_other_whatever_their_frames():
    places, figure = boxes(
        [Strip("a", (tile(3), tile(1), tile(3)), gap=True), Strip("b", (tile(2), tile(3), tile(2)))]
    )
    assert places[0, 2][0] - places[0, 1][0] == pytest.approx(places[1, 2][0] - places[1, 1][0])
    for (row, column), (left, bottom, width, _) in places.items():
        assert left > 1 and bottom > 0 and left + width < figure.get_size_inches()[0] + 1e-9
        if column:
            before = places[row, column - 1]
            assert before[0] + before[2] < left


def test_rows_of_many_strips_are_scaled_down_to_the_paper():
    results, _ = boxes([Strip("a", tuple(tile() for _ in range(11)), gap=True)])
    strips, figure = boxes([Strip("a", tuple(tile(3) for _ in range(11)), gap=True)])
    assert strips[0, 0][3] < results[0, 0][3] / 2
    assert figure.get_size_inches()[0] <= 1.1 + ROOM + 1e-9


def test_what_is_drawn_small_is_stored_small_unless_it_is_small_anyway():
    def stored(side, count):
        picture = np.zeros((3, 3, side, side), np.uint8)
        (axes, *_) = draw([Strip("a", (Tile(picture),) * count)]).axes
        return axes.images[0].get_array().shape

    assert stored(128, 2) == (128, 3 * 128, 3)
    assert stored(128, 11) == (64, 3 * 64, 3)
    assert stored(60, 11) == (60, 3 * 60, 3)


def test_lines_part_the_frames():
    figure = draw([Strip("a", (tile(3), tile()))])
    strip, image = figure.axes
    assert [line.get_xdata()[0] for line in strip.lines] == [8, 16]
    assert not image.lines
