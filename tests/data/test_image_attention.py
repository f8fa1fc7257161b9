"""A picture of arrays: shares that sum to one, at the place that looked or was looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from heedful.data.image_attention import AttentionMap, ImageAttention

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=4)


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(0, 9, width=32)))
def test_weights_become_shares_at_the_place_with_most(weights):
    found = AttentionMap.of(weights, word="cat")
    assert weights[found.row, found.column] == weights.max()
    assert np.shape(found.weights) == weights.shape
    assert found.word == "cat"
    if weights.max() > 1e-3:
        assert np.sum(found.weights) == pytest.approx(1)
        ratio = weights.astype(float) / weights.max()
        assert np.allclose(np.array(found.weights) / np.max(found.weights), ratio)


def test_a_place_that_looked_is_kept():
    found = AttentionMap.of(np.array([[3, 1]]), place=(0, 1))
    assert found == AttentionMap(row=0, column=1, weights=((0.75, 0.25),))


def test_pixels_are_plain_numbers_line_by_line():
    pixels = np.arange(2 * 1 * 3, dtype=np.uint8).reshape(2, 1, 3)
    mark = AttentionMap.of(np.ones((1, 1)))
    picture = ImageAttention.of(pixels, (each for each in [mark]), title="two")
    assert picture == ImageAttention(pixels=(((0, 1, 2),), ((3, 4, 5),)), maps=(mark,), title="two")
    assert type(picture.pixels[1][0][2]) is int
