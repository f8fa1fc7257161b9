"""Digits that move: each number is one video, and it shows what its plan says."""

from collections import Counter

import numpy as np
import pytest

from heedful.data.images import DIGITS, Source
from heedful.data.moving_digits import (
    FRAMES,
    SMALLEST,
    SPEEDS,
    STEPS,
    count_digits,
    draw_video,
    plan_video,
)

pytest.importorskip("sklearn", reason="the extra images is not installed")


@pytest.mark.parametrize("number", [0, 5, 1797 + 5, 10**15])
@pytest.mark.parametrize("size", [SMALLEST, 23])
def test_a_digit_stands_where_its_plan_says(number, size):
    plan = plan_video(number, size=size)
    video = draw_video(number, size=size, noise=0.0)
    digit = Source(DIGITS).load([Source(DIGITS).references()[plan.image]])[0, :, :, 0]
    assert video.shape == (FRAMES, size, size, 1)
    for time, frame in enumerate(video[..., 0]):
        down, right = (each * SPEEDS[plan.speed] * (time - 2) for each in STEPS[plan.direction])
        for row, column in np.ndindex(8, 8):
            at = plan.halfway[0] + down + row, plan.halfway[1] + right + column
            assert frame[at] == digit[row, column]
        assert frame.sum() == digit.sum()


def test_numbers_decide_and_digits_are_taken_in_turns():
    assert plan_video(3, size=20) == plan_video(3, size=20)
    videos = [draw_video(3, size=20, noise=0.2) for _ in range(2)]
    assert np.array_equal(*videos)
    assert plan_video(3, size=20).image == plan_video(3 + count_digits(), size=20).image == 3


def test_every_movement_is_as_frequent_and_starts_from_everywhere():
    plans = [plan_video(number, size=20) for number in range(800)]
    for found, known in (("direction", STEPS), ("speed", SPEEDS)):
        counts = Counter(getattr(plan, found) for plan in plans)
        assert counts.keys() == known.keys()
        assert min(counts.values()) > 0.7 * 800 / len(known)
    assert {plan.halfway for plan in plans} == {(r, c) for r in range(4, 9) for c in range(4, 9)}


def test_noise_is_as_large_as_asked_for():
    pairs = [[draw_video(n, size=20, noise=noise) for noise in (0.0, 0.1)] for n in range(40)]
    still, noisy = (np.stack(each).astype(float) for each in zip(*pairs, strict=True))
    middle = (still > 80) & (still < 175)  # where nothing is cut off
    assert (noisy - still)[middle].std() == pytest.approx(25.5, rel=0.1)
