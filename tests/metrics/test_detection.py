"""Average precision and recall of boxes against the definition, threshold by threshold."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.errors import ConfigError, DataError
from heedful.metrics.detection import average_precision, box_recall, overlaps

RANDOM = np.random.default_rng(3)


def box(label, x, y, width, height, score=1.0):
    return SimpleNamespace(label=label, x=x, y=y, width=width, height=height, score=score)


def scattered(count, *, labels="ab", score=False):
    return [
        box(
            labels[RANDOM.integers(len(labels))],
            *RANDOM.integers(0, 8, 2).tolist(),
            *RANDOM.integers(2, 6, 2).tolist(),
            score=round(float(RANDOM.uniform(0.05, 1)), 1 if score else 3),
        )
        for _ in range(count)
    ]


TRUE = [SimpleNamespace(boxes=scattered(count)) for count in (3, 0, 5, 2, 4, 1)]
FOUND = [
    [
        *(box(b.label, b.x + RANDOM.integers(0, 2), b.y, b.width, b.height, round(s, 1)) for b, s in
          zip(each.boxes, RANDOM.uniform(0.2, 1, len(each.boxes)).tolist(), strict=True)),
        *scattered(3, labels="abc", score=True),
    ]
    for each in TRUE
]  # fmt: skip


def pixels(b, size=16):
    inside = np.zeros((size, size), bool)
    inside[int(b.y) : int(b.y + b.height), int(b.x) : int(b.x + b.width)] = True
    return inside


def share(a, b):
    """The intersection over the union, counted pixel by pixel."""
    first, second = pixels(a), pixels(b)
    return (first & second).sum() / (first | second).sum()


def right_ones(found, true, label, threshold):
    """Scores of found boxes of a label, and whether each is right, in one image."""
    free = [b for b in true if b.label == label]
    told = []
    for b in sorted((b for b in found if b.label == label), key=lambda b: -b.score):
        best = max(free, key=lambda t: share(b, t), default=None)
        right = best is not None and share(b, best) >= threshold
        if right:
            free.remove(best)
        told.append((b.score, right))
    return told


def slow(found, true, threshold=0.5):
    """Average precision and recall, by all thresholds of scores."""
    areas, recalls = [], []
    for label in sorted({b.label for each in true for b in each.boxes}):
        count = sum(b.label == label for each in true for b in each.boxes)
        told = [
            pair
            for boxes, each in zip(found, true, strict=True)
            for pair in right_ones(boxes, each.boxes, label, threshold)
        ]
        points = []
        for least in sorted({score for score, _ in told}):
            kept = [right for score, right in told if score >= least]
            points.append((sum(kept) / count, sum(kept) / len(kept)))
        area, before = 0.0, 0.0
        for recall in sorted({r for r, _ in points}):
            area += (recall - before) * max(p for r, p in points if r >= recall)
            before = recall
        areas.append(area)
        recalls.append(sum(right for _, right in told) / count)
    return 100 * np.mean(areas), 100 * np.mean(recalls)


@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_scores_are_those_of_the_definition(threshold):
    want = slow(FOUND, TRUE, threshold)
    assert 0 < want[0] < want[1] < 100
    for build, each in zip((average_precision, box_recall), want, strict=True):
        metric = build(overlap=threshold)
        assert metric.score(metric.statistics(FOUND, TRUE)) == pytest.approx(each, rel=1e-12)
        assert metric.name == {"average_precision": "ap", "box_recall": "recall"}[
            build.__name__
        ] + str(int(100 * threshold))


@pytest.mark.parametrize("build, place", [(average_precision, 0), (box_recall, 1)])
def test_every_draw_is_that_of_its_examples(build, place):
    metric = build()
    statistics = metric.statistics(FOUND, TRUE)
    for _ in range(20):
        draw = RANDOM.integers(0, 3, len(TRUE))
        rows = np.repeat(np.arange(len(TRUE)), draw)
        if not any(TRUE[row].boxes for row in rows):
            continue
        want = slow([FOUND[row] for row in rows], [TRUE[row] for row in rows])[place]
        scores = metric.scores(statistics, weights=draw[None].astype(float))
        assert scores[0] == pytest.approx(want, rel=1e-12)


def test_a_second_box_on_one_thing_is_wrong():
    true = [SimpleNamespace(boxes=[box("a", 0, 0, 4, 4), box("a", 8, 8, 4, 4)])]
    twice = [[box("a", 0, 0, 4, 4, 0.9), box("a", 0, 0, 4, 4, 0.8), box("a", 8, 8, 4, 4, 0.7)]]
    metric = average_precision()
    assert metric.score(metric.statistics(twice, true)) == pytest.approx(50 + 50 * 2 / 3)
    most = average_precision(most=1)
    assert most.score(most.statistics(twice, true)) == 50


@pytest.mark.parametrize("change", [np.log, lambda score: score - 1])
@pytest.mark.parametrize("build", [average_precision, box_recall])
def test_any_rising_change_of_the_scores_changes_nothing(build, change):
    changed = [
        [SimpleNamespace(**vars(b) | {"score": float(change(b.score))}) for b in found]
        for found in FOUND
    ]
    metric = build()
    want = metric.score(metric.statistics(FOUND, TRUE))
    assert metric.score(metric.statistics(changed, TRUE)) == want > 0


def test_all_and_nothing():
    for metric in (average_precision(), box_recall()):
        found = [each.boxes for each in TRUE]
        assert metric.score(metric.statistics(found, TRUE)) == pytest.approx(100)
        assert metric.score(metric.statistics([[]] * len(TRUE), TRUE)) == 0


def test_overlaps_are_those_of_pixels():
    first, second = scattered(5), scattered(7)
    want = [[share(a, b) for b in second] for a in first]
    assert overlaps(first, second) == pytest.approx(np.array(want))
    assert overlaps([], second).shape == (0, 7)
    empty = [box("a", 1, 1, 0, 3)]
    assert overlaps(empty, empty).tolist() == [[0.0]]


@pytest.mark.parametrize("build", [average_precision, box_recall])
def test_rejects(build):
    for overlap in (0, 1.5):
        with pytest.raises(ConfigError, match=re.escape(f"at most 1, got {overlap}")):
            build(overlap=overlap)
    with pytest.raises(ConfigError, match="most must be at least 1, got 0"):
        build(most=0)
    with pytest.raises(DataError, match="metrics of boxes must have a true box, got none"):
        build().statistics([[]], [SimpleNamespace(boxes=[])])
    unsure = [[], [box("a", 0, 0, 1, 1, float("nan"))]]
    with pytest.raises(DataError, match="scores must be finite, got nan for example 1"):
        build().statistics(unsure, TRUE[:2])
