"""The ten best, and how well scores part what is relevant, against loops over all pairs."""

import numpy as np
import pytest

from heedful.tasks.recommend.ranking import TOP, ranked

NAMES = [f"item {number}" for number in range(30)]


def brute_area(row, seen, relevant):
    free = [item for item in range(len(row)) if item not in seen]
    pairs = [
        1.0
        if right >= 0 and right in free and row[right] > row[other]
        else 0.5
        if right >= 0 and right in free and row[right] == row[other]
        else 0.0
        for right in relevant
        for other in free
        if other not in relevant
    ]
    return 100 * np.mean(pairs)


def test_it_is_what_loops_find():
    draw = np.random.default_rng(0)
    scores = draw.integers(0, 9, (20, 30)).astype(np.float32)  # with ties
    seen = [draw.choice(30, 5, replace=False) for _ in scores]
    relevant = [[*draw.choice(30, 3, replace=False).tolist(), -1] for _ in scores]
    answers = list(ranked(scores, NAMES, seen=seen, relevant=relevant))
    for row, had, right, answer in zip(scores, seen, relevant, answers, strict=True):
        free = [item for item in range(30) if item not in had]
        best = sorted(free, key=lambda item: (-row[item], item))[:TOP]
        assert answer.items == tuple(NAMES[item] for item in best)
        assert answer.area == pytest.approx(brute_area(row, had, right))
        odds = np.exp(row[free].astype(float))
        want = [np.exp(float(row[item])) / odds.sum() for item in best]
        assert answer.shares == pytest.approx(want)


def test_nobody_knows_the_area_of_what_nobody_knows():
    nothing = np.zeros(0, np.int64)
    (answer,) = ranked(np.zeros((1, 30)), NAMES, seen=[nothing], relevant=[[]])
    assert answer.area == -1


def test_fewer_items_than_ten_are_all_there_is():
    (answer,) = ranked(np.zeros((1, 12)), NAMES[:12], seen=[np.arange(4)], relevant=[[5]])
    assert answer.items == tuple(NAMES[4:12])
    (answer,) = ranked(np.zeros((1, 3)), NAMES[:3], seen=[np.arange(3)], relevant=[[1]])
    assert answer.items == answer.shares == ()
