"""An image as cells: each pixel is in one, and what is removed has the mean colour."""

import numpy as np
import pytest
import torch

from heedful.explaining.images import Cells, coarse

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def test_every_pixel_is_in_one_cell():
    cells = Cells(PIXELS, (2, 3)).of_pixels()
    assert cells[:, 0].tolist() == [0, 0, 0, 3, 3]
    assert cells[0].tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_names_are_rows_and_columns():
    assert Cells(PIXELS, (2, 3)).names == ("1,1", "1,2", "1,3", "2,1", "2,2", "2,3")


def test_what_is_removed_has_the_mean_colour():
    cells = Cells(PIXELS, (2, 3))
    kept = torch.tensor([[True] * 6, [True, False, True, True, True, True]])
    whole, without = cells.kept(kept).permute(0, 2, 3, 1).numpy()
    expected = PIXELS.astype(np.float64)
    np.testing.assert_allclose(whole, expected)
    expected[:3, 3:5] = expected.mean((0, 1))
    np.testing.assert_allclose(without, expected, rtol=1e-6)


@pytest.mark.parametrize("side, shape", [(4, (4, 4)), (6, (5, 6)), (9, (5, 7))])
def test_no_cell_is_smaller_than_a_pixel(side, shape):
    assert coarse(PIXELS, side).shape == shape
