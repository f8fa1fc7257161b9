"""A sound as stretches: each frame is in one, and what is removed is as quiet as can be."""

import numpy as np
import torch

from heedful.explaining.sounds import MOST, Stretches

FEATURES = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


def test_states_are_put_together_where_there_are_many():
    assert Stretches(FEATURES, stride=4, hop=0.01).states == (0, 1, 2)
    many = Stretches(np.zeros((4 * MOST + 1, 3), np.float32), stride=2, hop=0.01)
    assert many.states[:5] == (0, 0, 0, 1, 1)
    assert max(many.states) < MOST


def test_names_are_seconds():
    assert Stretches(FEATURES, stride=4, hop=0.05).names == ("0.00 s", "0.20 s", "0.40 s")


def test_what_is_removed_is_at_the_quietest_of_each_band():
    kept = torch.tensor([[True, False, True]])
    found = Stretches(FEATURES, stride=4, hop=0.01).kept(kept)[0].numpy()
    expected = FEATURES.copy()
    expected[4:8] = FEATURES.min(0)
    np.testing.assert_array_equal(found, expected)


def test_the_canvas_has_low_frequencies_at_the_bottom():
    canvas = Stretches(FEATURES, stride=4, hop=0.01).canvas()
    assert canvas.shape == (3, 10, 1)
    assert (canvas.min(), canvas.max()) == (0, 255)
    shades = (FEATURES - FEATURES.min()) / np.ptp(FEATURES)
    np.testing.assert_array_equal(canvas[2, :, 0], np.rint(255 * shades[:, 0]))
