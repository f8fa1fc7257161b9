"""Scores are those of plain loops, also when examples are drawn anew."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, DataError, ShapeError, UnsupportedError
from heedful.metrics import metric as module
from heedful.metrics.metric import (
    SumMetric,
    WeightedMetric,
    mean_metric,
    per_example,
    ratio_metric,
)


def numbers(seed=3, count=11):
    random = np.random.default_rng(seed)
    return random.normal(2, 1, count), random.integers(1, 9, count).astype(float)


# ---- means and ratios ----------------------------------------------------------------------------


def test_a_mean_and_a_ratio():
    values, sizes = numbers()
    mean, ratio = mean_metric("quality"), ratio_metric("loss", higher_is_better=False, span=4.0)
    assert (mean.name, mean.higher_is_better, mean.span) == ("quality", True, None)
    assert (ratio.name, ratio.higher_is_better, ratio.span) == ("loss", False, 4.0)
    error = mean_metric("error", higher_is_better=False, span=1.0)
    assert (error.name, error.higher_is_better, error.span) == ("error", False, 1.0)
    assert mean.score(per_example(values)) == pytest.approx(sum(values) / 11, rel=1e-15)
    want = sum(values) / sum(sizes)
    assert ratio.score(per_example(values, sizes)) == pytest.approx(want, rel=1e-15)


def test_every_draw_has_its_score():
    values, sizes = numbers()
    draws = np.random.default_rng(5).integers(0, 4, (6, 11)).astype(float)
    scores = ratio_metric("loss").scores(per_example(values, sizes), weights=draws)
    want = [
        sum(n * v for n, v in zip(draw, values, strict=True))
        / sum(n * s for n, s in zip(draw, sizes, strict=True))
        for draw in draws
    ]
    assert scores == pytest.approx(want, rel=1e-14)


def test_the_influence_on_a_mean_is_the_value_itself():
    values, _ = numbers()
    influence = mean_metric("quality").influence(per_example(values))
    assert influence == pytest.approx(values, rel=1e-12)


def test_the_influence_is_what_leaving_an_example_out_tells():
    values, sizes = numbers()
    statistics, metric = per_example(values, sizes), ratio_metric("loss")
    want = []
    for left in range(11):
        rest = [row for row in range(11) if row != left]
        want.append(
            11 * (values.sum() / sizes.sum()) - 10 * (values[rest].sum() / sizes[rest].sum())
        )
    assert metric.influence(statistics) == pytest.approx(want, rel=1e-12)
    some = metric.influence(statistics, rows=np.array([7, 2]))
    assert some == pytest.approx([want[7], want[2]], rel=1e-12)
    mask = np.arange(11) == 4
    assert metric.influence(statistics, rows=mask) == pytest.approx([want[4]], rel=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, 1],
        (True, False, True),
        np.array([1, 0, 1], np.int8),
        torch.tensor([1, 0, 1], dtype=torch.bfloat16),
        torch.tensor([1.0, 0.0, 1.0], requires_grad=True),
    ],
)
def test_numbers_of_any_kind(values):
    statistics = per_example(values)
    assert statistics.dtype == np.float64
    assert statistics.tolist() == [[1, 1], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    "values, error, message",
    [
        (
            0.93,
            ShapeError,
            "values must hold one number for each example, got the single number 0.93: "
            "one number for all of them cannot be verified",
        ),
        (torch.tensor(0.5), ShapeError, "got the single number 0.5"),
        (
            np.ones((3, 2)),
            ShapeError,
            "values must hold one number for each example, got an array of shape (3, 2)",
        ),
        ([], DataError, "values must hold one number for each example, got none"),
        ([1.0, 2.0, np.nan], DataError, "values must be finite, got nan for example 2"),
        ([-np.inf, 2.0], DataError, "values must be finite, got -inf for example 0"),
        (
            ["good", "bad"],
            DataError,
            "values must be numbers, one for each example, got list with something else",
        ),
        ([1, 10**400], DataError, "values must be numbers, one for each example, got list"),
        ([[1.0], [1.0, 2.0]], DataError, "values must be numbers, one for each example, got list"),
    ],
)
def test_rejects_values(values, error, message):
    with pytest.raises(error, match=re.escape(message)):
        per_example(values)


@pytest.mark.parametrize(
    "sizes, error, message",
    [
        ([1, 2], ShapeError, "values and sizes must be as many, got 3 values and 2 sizes"),
        ([1, 0, 2], DataError, "every size must be above 0, got 0 for example 1"),
        (4.0, ShapeError, "sizes must hold one number for each example, got the single number 4"),
    ],
)
def test_rejects_sizes(sizes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        per_example([1.0, 2.0, 3.0], sizes)


@pytest.mark.parametrize("span", [0.0, -1.0, float("inf"), float("nan")])
def test_rejects_a_span(span):
    message = f"span must be a finite number above 0, got {span}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        SumMetric(name="x", span=span)


@pytest.mark.parametrize("span, floor", [(None, 0.0), (1.0, None)])
def test_a_share_says_its_range(span, floor):
    message = f"a share must have a span and a floor, got span {span}, floor {floor}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        SumMetric(name="x", span=span, floor=floor, share=True)


def test_a_total_of_nothing_has_no_score():
    assert np.isnan(ratio_metric("loss").combine(np.zeros((1, 2)))).all()


def test_a_metric_that_reads_no_answers_says_so():
    message = "loss must be given its statistics, got answers, which it does not read"
    with pytest.raises(UnsupportedError, match=message):
        ratio_metric("loss").statistics([1], [2])
    metric = SumMetric(name="n", of=lambda answers, examples: per_example([*answers, *examples]))
    assert metric.statistics([1], [2]).tolist() == [[1, 1], [2, 1]]


# ---- of weighted examples ------------------------------------------------------------------------


def median(statistics, weights):
    """The smallest value that half of the weight does not exceed: no function of sums."""
    order = statistics[:, 0].argsort()
    share = np.cumsum(weights[:, order], axis=1) / weights.sum(1, keepdims=True)
    return statistics[order, 0][(share >= 0.5).argmax(1)]


MEDIAN = WeightedMetric(name="median", combine=median)
FIVE = np.array([[5.0], [1.0], [4.0], [2.0], [9.0]])


def test_a_metric_of_weighted_examples():
    assert MEDIAN.score(FIVE) == 4
    weights = np.array([[3.0, 0, 1, 1, 0], [1, 1, 1, 1, 9]])
    assert MEDIAN.scores(FIVE, weights=weights).tolist() == [5, 9]
    assert MEDIAN.alone(FIVE).tolist() == [5, 1, 4, 2, 9]


def test_its_influence_is_what_leaving_an_example_out_tells(monkeypatch):
    monkeypatch.setattr(module, "CELLS", 10)  # two of five at a time
    rest = [2, 4, 2, 4, 2]
    want = [4 + 4 * (4 - score) for score in rest]
    assert MEDIAN.without(FIVE, rows=np.arange(5)).tolist() == rest
    assert MEDIAN.influence(FIVE).tolist() == want
    assert MEDIAN.influence(FIVE, rows=np.array([4, 1])).tolist() == [want[4], want[1]]
    assert MEDIAN.influence(FIVE, rows=FIVE[:, 0] > 4).tolist() == [want[0], want[4]]
    assert MEDIAN.influence(FIVE, rows=np.zeros(5, bool)).tolist() == []


def test_both_forms_agree_on_a_mean():
    """Weights, leaving out and single examples mean the same in both."""
    weighted = WeightedMetric(
        name="mean", combine=lambda rows, weights: weights @ rows[:, 0] / weights.sum(1)
    )
    values, _ = numbers()
    statistics, sums = per_example(values), mean_metric("mean")
    weights = np.random.default_rng(7).random((6, 11))
    assert weighted.score(statistics) == pytest.approx(sums.score(statistics), rel=1e-14)
    for one, other in (
        (weighted.scores(statistics, weights=weights), sums.scores(statistics, weights=weights)),
        (weighted.alone(statistics), sums.alone(statistics)),
        (weighted.influence(statistics), sums.influence(statistics)),
    ):
        assert one == pytest.approx(other, rel=1e-12)
