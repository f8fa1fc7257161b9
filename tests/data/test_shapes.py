"""Drawn shapes are the same whenever they are drawn, and their masks say where discs are."""

import numpy as np
import pytest

from heedful.data.shapes import NOISIER, SHAPES, SIDE, STYLES, draw_shapes


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_is_an_image(style):
    pixels, mask = draw_shapes(7, style=style)
    assert pixels.shape == (SIDE, SIDE, 1)
    assert mask.shape == (SIDE, SIDE)
    assert pixels.dtype == mask.dtype == np.uint8
    again = draw_shapes(7, style=style)
    assert all(map(np.array_equal, again, (pixels, mask)))
    assert not np.array_equal(draw_shapes(8, style=style)[0], pixels)


def test_discs_are_brighter_than_what_is_around_them_and_not_all_there_is():
    drawn = [draw_shapes(seed) for seed in range(50)]
    inside = np.mean([pixels[mask == 1].mean() for pixels, mask in drawn if mask.any()])
    outside = np.mean([pixels[mask == 0].mean() for pixels, mask in drawn])
    assert inside > outside + 30
    shares = [mask.mean() for _, mask in drawn]
    assert 0.05 < np.mean(shares) < 0.15
    assert set(np.unique(drawn[0][1])) == {0, 1}


def test_the_other_style_shows_the_same_discs_under_more_noise():
    (one, mask), (other, same) = (draw_shapes(3, style=style) for style in (SHAPES, NOISIER))
    assert np.array_equal(mask, same)
    steps = [np.abs(np.diff(image[..., 0].astype(int), axis=0)).mean() for image in (one, other)]
    assert steps[1] > 1.4 * steps[0]
