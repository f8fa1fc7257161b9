"""Digits with noise and words with typos are as bad as asked, and the same each time."""

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.tasks.fuse.digits import LETTERS, WORDS, digit_labels, digit_pixels, misspell

pytest.importorskip("sklearn", reason="the extra images is not installed")


def test_noise_is_as_strong_as_asked():
    plain = np.stack([digit_pixels(f"digit:{row}") for row in range(80)]).astype(float)
    noisy = np.stack([digit_pixels(f"digit:{row}:10") for row in range(80)]).astype(float)
    middle = (plain > 90) & (plain < 165)  # which is not clipped
    assert (noisy - plain)[middle].std() == pytest.approx(25.5, rel=0.1)
    assert np.array_equal(digit_pixels("digit:3:10"), noisy[3])
    assert plain.shape == (80, 8, 8, 1)


def test_there_is_a_label_for_each_image():
    labels = digit_labels()
    assert len(labels) == 1_797
    assert {*labels} == {*"0123456789"}


def test_letters_are_drawn_anew():
    draw = np.random.default_rng(1)
    assert misspell("seven", typos=0.0, draw=draw) == "seven"
    wrong = misspell("a" * 2_000, typos=0.5, draw=draw)
    assert {*wrong} == {*LETTERS}
    assert np.mean([letter != "a" for letter in wrong]) == pytest.approx(0.5 * 25 / 26, abs=0.04)
    assert len(WORDS) == 10


@pytest.mark.parametrize("name", ["digit:1797", "digit:x:1", "digit:", "digit:1:x", "digit:1:-1"])
def test_other_names_are_refused(name):
    with pytest.raises(DataError, match=r"a digit must look like digit:17:60, with an image below"):
        digit_pixels(name)
