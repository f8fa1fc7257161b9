"""Metrics of order against their definitions, pair by pair and rank by rank."""

import itertools
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.metrics.interval import estimate
from heedful.metrics.ranking import area_under_curve, mean_average_precision, ndcg_at, recall_at

SCORES, LABELS = [0.9, 0.3, 0.3, 0.8, 0.1], [1, 0, 1, 0, 1]
AUC, MAP = area_under_curve(), mean_average_precision()


def wrapped(**columns):
    rows = zip(*columns.values(), strict=True)
    return [SimpleNamespace(**dict(zip(columns, row, strict=True))) for row in rows]


# ---- area under the curve ------------------------------------------------------------------------


def slow_area(scores, labels):
    pairs = [
        (a > b) + (a == b) / 2
        for (a, one), (b, other) in itertools.product(zip(scores, labels, strict=True), repeat=2)
        if one and not other
    ]
    return 100 * sum(pairs) / len(pairs)


def test_the_area_is_the_share_of_pairs_in_order():
    statistics = AUC.statistics(SCORES, wrapped(label=LABELS))
    assert AUC.score(statistics) == pytest.approx(slow_area(SCORES, LABELS), rel=1e-15)
    assert slow_area(SCORES, LABELS) == pytest.approx(100 * 2.5 / 6)
    assert (AUC.name, AUC.span, AUC.floor, AUC.higher_is_better) == ("auc", 100, 0, True)
    for order in itertools.permutations(range(5)):
        assert AUC.score(statistics[list(order)]) == pytest.approx(100 * 2.5 / 6, rel=1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_every_draw_of_the_area_is_that_of_its_examples(seed):
    random = np.random.default_rng(seed)
    scores, labels = random.integers(0, 6, 12) / 7, random.integers(0, 2, 12)
    labels[:2] = 0, 1
    draws = random.integers(0, 3, (9, 12))
    draws[:, :2] += 1
    want = [slow_area(np.repeat(scores, draw), np.repeat(labels, draw)) for draw in draws]
    statistics = AUC.statistics(scores, wrapped(label=labels))
    assert AUC.scores(statistics, weights=draws / 3) == pytest.approx(want, rel=1e-12)


def test_the_area_lies_between_its_ends():
    for scores, want in (([3, 1, 2, 1.5, 4], 100), ([0, 5, 0, 7, 0], 0), ([2] * 5, 50)):
        assert AUC.score(AUC.statistics(scores, wrapped(label=LABELS))) == want


def test_the_area_of_one_side_alone_is_none():
    statistics = AUC.statistics(SCORES, wrapped(label=LABELS))
    weights = np.array([[1.0, 0, 1, 0, 0], [0, 1, 0, 2, 0]])
    assert np.isnan(AUC.scores(statistics, weights=weights)).all()
    assert np.isnan(AUC.alone(statistics)).all()
    low, high = estimate(AUC, statistics).interval  # resamples of one side are left out
    assert 0 <= low < high <= 100
    message = "auc must be a finite number on 2 examples, got nan"
    with pytest.raises(DataError, match=message):
        estimate(AUC, AUC.statistics([1, 2], wrapped(label=[1, 1])))


def test_the_interval_of_the_area_has_the_width_of_its_theory():
    """Hanley and McNeil's standard error, for normal scores."""
    random = np.random.default_rng(8)
    labels = np.arange(400) < 150
    scores = random.normal(0, 1, 400) + labels
    found = estimate(AUC, AUC.statistics(scores, wrapped(label=labels)))
    area = found.score / 100
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + 149 * (one - area**2) + 249 * (two - area**2)
    error = 100 * math.sqrt(variance / (150 * 250))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


# ---- average precision ---------------------------------------------------------------------------


def slow_precision(scores, labels):
    """Each positive example: how many are positive among all with at least its score."""
    precisions = [
        np.mean([other for score, other in zip(scores, labels, strict=True) if score >= mine])
        for mine, label in zip(scores, labels, strict=True)
        if label
    ]
    return 100 * np.mean(precisions)


def slow_map(scores, labels):
    columns = zip(np.transpose(scores), np.transpose(labels), strict=True)
    return np.mean([slow_precision(*pair) for pair in columns if any(pair[1])])


def test_average_precision_of_one_class():
    answers, examples = [[score] for score in SCORES], wrapped(labels=[[x] for x in LABELS])
    statistics = MAP.statistics(answers, examples)
    # the scores from above: 1 of 1, then two at 0.3 with 2 of 4, then 3 of 5
    assert MAP.score(statistics) == pytest.approx(100 * (1 + 2 / 4 + 3 / 5) / 3, rel=1e-14)
    assert MAP.score(statistics) == pytest.approx(slow_precision(SCORES, LABELS), rel=1e-14)
    for order in itertools.permutations(range(5)):
        found = MAP.score(statistics[list(order)])
        assert found == pytest.approx(slow_precision(SCORES, LABELS), rel=1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_every_draw_of_the_mean_is_that_of_its_examples(seed):
    random = np.random.default_rng(seed)
    scores, labels = random.integers(0, 6, (10, 3)) / 7, random.integers(0, 2, (10, 3))
    labels[:, 2] = 0
    labels[4] = 1, 0, 1  # a class that some draws have not
    draws = random.integers(0, 2, (9, 10))
    draws[:, :2] += 1
    labels[0] = 1, 1, 0
    want = [slow_map(np.repeat(scores, draw, 0), np.repeat(labels, draw, 0)) for draw in draws]
    statistics = MAP.statistics(list(scores), wrapped(labels=list(labels)))
    assert MAP.scores(statistics, weights=draws / 3) == pytest.approx(want, rel=1e-12)
    assert MAP.score(statistics) == pytest.approx(slow_map(scores, labels), rel=1e-12)


def test_average_precision_is_100_where_all_relevant_come_first():
    answers, labels = [[3, 1], [1, 9], [2, 0]], [[1, 0], [0, 1], [1, 0]]
    assert MAP.score(MAP.statistics(answers, wrapped(labels=labels))) == 100
    assert (MAP.name, MAP.span, MAP.floor) == ("map", 100, 0)


@pytest.mark.parametrize(
    "scores, labels, error, message",
    [
        (
            [[1, 2], [3, 4]],
            [[1], [0]],
            ShapeError,
            "an answer must have as many scores as the truth has labels, got 2 and 1",
        ),
        (
            [[1, 2], [3]],
            [[1, 0], [0, 1]],
            ShapeError,
            "every example must have a score and a label for each class, got 1 of some and 2 of",
        ),
        ([1, 2], [0, 2], DataError, "labels must be 0 or 1, got [2.] for example 1"),
        ([1, np.nan], [0, 1], DataError, "scores must be finite, got [nan] for example 1"),
    ],
)
def test_rejects_scores(scores, labels, error, message):
    with pytest.raises(error, match=re.escape(message)):
        MAP.statistics(scores, wrapped(labels=labels))


# ---- the first k ---------------------------------------------------------------------------------

RANKED = ["abcde", "edcba", "cabde", "bbbac", ""]
WANTED = [{"a"}, {"a", "b", "c"}, {"d", "e"}, {"a", "b"}, {"a"}]


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_recall_is_the_share_that_is_found(k):
    metric = recall_at(k)
    statistics = metric.statistics(RANKED, wrapped(relevant=WANTED))
    shares = [
        sum(thing in ranked[:k] for thing in wanted) / len(wanted)
        for ranked, wanted in zip(RANKED, WANTED, strict=True)
    ]
    assert metric.name == f"recall@{k}"
    assert statistics[:, 0] == pytest.approx([100 * share for share in shares])
    assert metric.score(statistics) == pytest.approx(100 * sum(shares) / 5)


def test_what_gains_nothing_need_not_be_found():
    graded = [{"a": 2.0, "z": 0.0}, {"c": 1.0, "b": 3.0, "z": 0}]
    found = recall_at(2).statistics(["ab", "cz"], wrapped(relevant=graded))
    assert found[:, 0].tolist() == [100, 50]


def slow_gain(ranked, gains, k):
    seen, total = set(), 0.0
    rank = 1
    for thing in ranked:
        if thing in seen:
            continue
        seen.add(thing)
        if rank <= k:
            total += gains.get(thing, 0) / math.log2(rank + 1)
        rank += 1
    return total


@pytest.mark.parametrize("k", [1, 2, 3, 9])
@pytest.mark.parametrize("graded", [False, True])
def test_gain_is_a_share_of_the_best(k, graded):
    gains = [
        {thing: 1 + graded * 2 * number for number, thing in enumerate(sorted(wanted))}
        for wanted in WANTED
    ]
    metric = ndcg_at(k)
    found = metric.statistics(RANKED, wrapped(relevant=gains if graded else WANTED))
    want = []
    for ranked, mine in zip(RANKED, gains, strict=True):
        best = max(slow_gain(order, mine, k) for order in itertools.permutations(mine))
        want.append(100 * slow_gain(ranked, mine, k) / best)
    assert metric.name == f"ndcg@{k}"
    assert found[:, 0] == pytest.approx(want)
    assert (found[:, 0] <= 100 + 1e-9).all()
    assert metric.score(found) == pytest.approx(np.mean(want))


@pytest.mark.parametrize("build", [recall_at, ndcg_at])
def test_rejects_what_has_nothing_to_find(build):
    with pytest.raises(ConfigError, match="k must be at least 1, got 0"):
        build(0)
    for wanted in (set(), {"a": 0}, {"a": 2, "b": -1}):
        message = f"every example must have a relevant thing, and no gain below 0, got {wanted!r}"
        with pytest.raises(DataError, match=re.escape(message) + " for example 1"):
            build(3).statistics(["ab", "cd"], wrapped(relevant=[{"a"}, wanted]))
