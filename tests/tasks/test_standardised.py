"""Images of mean 0 and variance 1, each by itself."""

import numpy as np
import torch

from heedful.tasks.standardised import standardised


def test_each_image_is_measured_by_itself():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.float64)
    expected = np.stack([(each - each.mean()) / (each.std(ddof=1) + 1) for each in pixels])
    np.testing.assert_allclose(standardised(torch.from_numpy(pixels)).numpy(), expected)


def test_one_colour_is_nought():
    assert not standardised(torch.full((1, 1, 3, 3), 7.0)).any()
