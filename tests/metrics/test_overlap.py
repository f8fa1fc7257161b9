"""Overlaps of masks against loops over sets of pixels."""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.errors import DataError, ShapeError
from heedful.metrics.overlap import mean_dice, mean_iou

RANDOM = np.random.default_rng(4)
TRUE = [RANDOM.integers(0, 3, (3, 4)) for _ in range(5)]
SAID = [np.where(RANDOM.random((3, 4)) < 0.6, mask, RANDOM.integers(0, 4, (3, 4))) for mask in TRUE]


def examples(masks=TRUE):
    return [SimpleNamespace(mask=mask) for mask in masks]


def places(masks, label):
    """Where a label stands, in all examples."""
    return {
        (row, *place)
        for row, mask in enumerate(masks)
        for place in np.ndindex(mask.shape)
        if mask[place] == label
    }


def iou(a, b):
    return len(a & b) / len(a | b)


def dice(a, b):
    return 2 * len(a & b) / (len(a) + len(b))


def slow(measure, said, true, labels):
    return 100 * np.mean([measure(places(said, x), places(true, x)) for x in labels])


BOTH = pytest.mark.parametrize("build, measure", [(mean_iou, iou), (mean_dice, dice)])


@BOTH
def test_overlaps_are_those_of_sets_of_pixels(build, measure):
    metric = build()
    statistics = metric.statistics(SAID, examples())
    want = slow(measure, SAID, TRUE, range(3))  # 3 is answered and never true
    assert 0 < want < 100
    assert metric.score(statistics) == pytest.approx(want, rel=1e-14)
    assert (metric.name, metric.span, metric.floor) == (build.__name__, 100, 0)
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 31):
        assert metric.score(statistics[list(order)]) == pytest.approx(want, rel=1e-14)
    two = build(labels=[2, 1])
    want = slow(measure, SAID, TRUE, (1, 2))
    assert two.score(two.statistics(SAID, examples())) == pytest.approx(want, rel=1e-14)


@BOTH
def test_every_draw_is_that_of_its_examples(build, measure):
    metric = build()
    draws = RANDOM.integers(0, 3, (20, 5))
    draws = draws[draws.sum(1) > 0]
    want = []
    for draw in draws:
        rows = np.repeat(np.arange(5), draw)
        said, true = ([side[row] for row in rows] for side in (SAID, TRUE))
        want.append(slow(measure, said, true, np.unique(true)))
    scores = metric.scores(metric.statistics(SAID, examples()), weights=draws.astype(float))
    assert scores == pytest.approx(want, rel=1e-14)


@BOTH
def test_all_right_and_all_wrong(build, measure):
    metric = build()
    assert metric.score(metric.statistics(TRUE, examples())) == 100
    assert metric.score(metric.statistics([mask + 1 for mask in TRUE], examples())) < 100
    assert metric.score(metric.statistics([mask + 7 for mask in TRUE], examples())) == 0


@BOTH
def test_pixels_that_do_not_count(build, measure):
    hidden = [np.where(RANDOM.random(mask.shape) < 0.3, 255, mask) for mask in TRUE]
    metric = build(ignore=255)
    said = [np.where(mask == 255, 9, answer) for mask, answer in zip(hidden, SAID, strict=True)]
    kept = [np.where(mask == 255, 255, answer) for mask, answer in zip(hidden, SAID, strict=True)]
    want = slow(measure, kept, hidden, range(3))
    assert metric.score(metric.statistics(said, examples(hidden))) == pytest.approx(want, rel=1e-14)


@BOTH
def test_a_background_is_no_label(build, measure):
    metric = build(background=0)
    want = slow(measure, SAID, TRUE, (1, 2))
    assert metric.score(metric.statistics(SAID, examples())) == pytest.approx(want, rel=1e-14)


def test_masks_of_yes_and_no():
    said, true = [np.array([True, True, False])], [np.array([True, False, False])]
    metric = mean_iou(labels=[1], truth=lambda mask: mask)
    assert metric.score(metric.statistics(said, true)) == 50
    metric = mean_dice(labels=[1], truth=lambda mask: mask)
    assert metric.score(metric.statistics(said, true)) == pytest.approx(200 / 3)


def test_rejects():
    message = "an answer must have the shape of the truth, got (2, 2) and (3, 4) for example 1"
    with pytest.raises(ShapeError, match=re.escape(message)):
        mean_iou().statistics([TRUE[0], np.zeros((2, 2), int)], examples(TRUE[:2]))
    with pytest.raises(DataError, match="mean_dice must have a label to count, got none"):
        mean_dice(ignore=0).statistics([np.zeros(3)], examples([np.zeros(3, int)]))
