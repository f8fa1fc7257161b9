"""Canvases are the same whenever they are drawn, with a box around each digit."""

import sys

import numpy as np
import pytest

from heedful.data.canvases import CANVASES, CROWDED, DEV, SIDE, TEST, TRAIN, draw_canvas
from heedful.errors import MissingExtraError

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.mark.parametrize("style", CANVASES)
def test_a_seed_is_a_canvas(style):
    pixels, boxes = draw_canvas(5, style=style)
    assert pixels.shape == (SIDE, SIDE, 1)
    assert pixels.dtype == np.uint8
    again, same = draw_canvas(5, style=style)
    assert np.array_equal(again, pixels)
    assert same == boxes
    assert 1 <= len(boxes) <= CANVASES[style].count[1]
    assert not np.array_equal(draw_canvas(6, style=style)[0], pixels)


def test_boxes_lie_around_what_is_bright_and_hardly_on_each_other():
    inside, outside, labels = [], [], set()
    for seed in range(60):
        pixels, boxes = draw_canvas(seed, style=TRAIN)
        within = np.zeros((SIDE, SIDE), bool)
        for number, box in enumerate(boxes):
            assert 0 <= box.x < box.x + box.width <= SIDE
            assert 0 <= box.y < box.y + box.height <= SIDE
            assert all(box.overlap(other) <= 0.2 for other in boxes[:number])
            rows, columns = (
                slice(int(a), int(a + b)) for a, b in ((box.y, box.height), (box.x, box.width))
            )
            within[rows, columns] = True
            labels.add(box.label)
        inside.append(pixels[within].mean())
        outside.append(pixels[~within].mean())
    assert np.mean(inside) > np.mean(outside) + 50
    assert labels == set("0123456789")


def test_no_digit_is_in_two_splits_and_the_crowded_ones_are_of_the_test_split():
    ends = [CANVASES[split].digits for split in (TRAIN, DEV, TEST)]
    assert [first for first, _ in ends] == [0, *(last for _, last in ends[:-1])]
    assert CANVASES[CROWDED].digits == CANVASES[TEST].digits


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pillow, got none. Run: pip install 'heedful\["):
        draw_canvas(1, style=TRAIN)
