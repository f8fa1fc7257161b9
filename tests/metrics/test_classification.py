"""Scores of labels against what they are defined as."""

import itertools
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.errors import DataError, ShapeError
from heedful.metrics.classification import (
    accuracy,
    any_right,
    by_label,
    label_counts,
    labels_of,
    macro_f1,
)

SAID = ["a", "b", "a", "d", "c"]
TRUE = ["a", "a", "b", "b", "c"]


def examples(labels=TRUE):
    return [SimpleNamespace(label=label) for label in labels]


def f1_of(label, said, true):
    right = sum(a == b == label for a, b in zip(said, true, strict=True))
    return 2 * right / (said.count(label) + true.count(label))


def macro_of(said, true):
    return 100 * sum(f1_of(label, said, true) for label in set(true)) / len(set(true))


def test_accuracy_is_the_share_of_right_answers():
    metric = accuracy()
    assert (metric.name, metric.span, metric.floor, metric.share) == ("accuracy", 100, 0, True)
    assert metric.score(metric.statistics(SAID, examples())) == 40
    named = accuracy(name="top", answer=lambda answer: answer[0], truth=lambda example: example)
    assert (named.name, named.score(named.statistics([(x, 1) for x in SAID], TRUE))) == ("top", 40)


def test_any_of_several_answers_may_be_right():
    metric = any_right()
    assert (metric.name, metric.span, metric.floor, metric.share) == ("accuracy", 100, 0, True)
    right = [{"a", "b"}, {"b"}, set(), {"d", "a"}, {"c"}]
    assert metric.score(metric.statistics(SAID, right)) == 80
    named = any_right(name="top", answer=lambda answer: answer[0], truth=lambda each: each.right)
    pairs, hidden = [(x, 1) for x in SAID], [SimpleNamespace(right=each) for each in right]
    assert (named.name, named.score(named.statistics(pairs, hidden))) == ("top", 80)


@pytest.mark.parametrize("metric", [accuracy(), macro_f1()])
def test_all_right_and_all_wrong(metric):
    for said, want in ((TRUE, 100), (["c", "c", "c", "c", "a"], 0)):
        statistics = metric.statistics(said, examples())
        assert metric.score(statistics) == want
        assert metric.scores(statistics, weights=np.full((1, 5), 7.0)) == pytest.approx([want])


def test_macro_f1_is_the_mean_over_labels_that_are_true():
    metric = macro_f1()
    statistics = metric.statistics(SAID, examples())
    assert metric.score(statistics) == pytest.approx(macro_of(SAID, TRUE), rel=1e-15)
    for order in itertools.permutations(range(5)):
        said, true = ([side[row] for row in order] for side in (SAID, TRUE))
        assert metric.score(metric.statistics(said, examples(true))) == pytest.approx(
            macro_of(SAID, TRUE), rel=1e-15
        )


def test_every_draw_of_macro_f1_is_that_of_its_examples():
    metric = macro_f1()
    statistics = metric.statistics(SAID, examples())
    draws = np.random.default_rng(2).integers(0, 3, (40, 5))
    draws = draws[draws.sum(1) > 0]
    want = []
    for draw in draws:
        rows = np.repeat(np.arange(5), draw)
        want.append(macro_of([SAID[row] for row in rows], [TRUE[row] for row in rows]))
    assert metric.scores(statistics, weights=draws.astype(float)) == pytest.approx(want, rel=1e-14)


def test_both_sides_of_a_verdict_have_the_same_columns():
    metric = macro_f1()
    before, after = (metric.statistics(said, examples()) for said in (TRUE, ["x"] * 5))
    assert before.shape == after.shape == (5, 9)
    assert metric.score(after) == 0


def test_labels_may_be_of_any_kind():
    assert labels_of([3, "b", 10, "a", 3]) == [3, 10, "a", "b"]
    assert labels_of([True, False]) == [False, True]


def test_the_scores_of_each_label():
    counts = label_counts(SAID, TRUE, labels=["a", "b", "c", "d", "e"])
    found = by_label(counts, labels=["a", "b", "c", "d", "e"])
    assert found["a"] == (2, 50, 50, 50)
    assert found["b"] == (2, 0, 0, 0)
    assert found["c"] == (1, 100, 100, 100)
    assert (found["d"].examples, found["d"].precision, found["d"].f1) == (0, 0, 0)
    assert math.isnan(found["d"].recall)
    assert math.isnan(found["e"].precision)
    message = "statistics must have three columns for each label, got 15 columns for 2 labels"
    with pytest.raises(ShapeError, match=re.escape(message)):
        by_label(counts, labels=["a", "b"])


def test_no_examples():
    with pytest.raises(DataError, match="a metric must have an example to be computed on"):
        macro_f1().statistics([], [])
