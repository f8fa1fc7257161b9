"""Intervals against what they promise, and against draws made all at once."""

import functools
import math
import re
import tracemalloc

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.metrics import interval as module
from heedful.metrics.interval import estimate, estimates, resamples, wilson
from heedful.metrics.metric import SumMetric, WeightedMetric, mean_metric, per_example, ratio_metric
from heedful.metrics.texts import chrf, exact_match

SHARE = SumMetric(name="right", span=100.0, floor=0.0, share=True)


def shares(right, examples):
    return per_example(100.0 * (np.arange(examples) < right))


def at_once(examples, *, seed, count=1_000):
    """All draws in one matrix."""
    random = np.random.default_rng(seed)
    return random.multinomial(examples, np.full(examples, 1 / examples), size=count).astype(float)


# ---- draws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [1, 70, 1 << 20])
def test_blocks_are_the_draws_made_at_once(monkeypatch, cells):
    monkeypatch.setattr(module, "CELLS", cells)
    blocks = list(resamples(7, seed=1, count=53))
    assert max(map(len, blocks)) == min(53, max(1, cells // 7))
    assert (np.concatenate(blocks) == at_once(7, seed=1, count=53)).all()


@pytest.mark.parametrize("examples", [5, 12])
def test_draws_hold_as_many_as_there_are(monkeypatch, examples):
    monkeypatch.setattr(module, "MULTINOMIAL", 10)  # the second way
    draws = np.concatenate(list(resamples(examples, seed=1, count=4_000)))
    assert draws.shape == (4_000, examples)
    assert (draws.sum(1) == examples).all()
    # a count is binomial: its mean is 1, its variance 1 - 1 / examples
    assert draws.mean(0) == pytest.approx(np.ones(examples), abs=5 / math.sqrt(4_000))
    assert draws.var(0) == pytest.approx(np.full(examples, 1 - 1 / examples), rel=0.15)
    again = np.concatenate(list(resamples(examples, seed=1, count=4_000)))
    assert (draws == again).all()
    other = np.concatenate(list(resamples(examples, seed=2, count=4_000)))
    assert (draws != other).any()


def test_a_million_examples_need_little_memory():
    statistics = per_example(np.random.default_rng(0).random(1_000_000))
    tracemalloc.start()
    found = estimate(mean_metric("x"), statistics, count=4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.low < found.high
    assert peak < 10 * statistics.nbytes


# ---- intervals -----------------------------------------------------------------------------------


def test_the_interval_holds_the_middle_95_per_cent_of_the_draws():
    random = np.random.default_rng(3)
    values, sizes = random.normal(2, 1, 30), random.integers(1, 9, 30).astype(float)
    statistics = per_example(values, sizes)
    found = estimate(ratio_metric("loss"), statistics, seed=5)
    draws = at_once(30, seed=5)
    want = np.quantile((draws @ values) / (draws @ sizes), (0.025, 0.975))
    assert found.interval == pytest.approx(want, rel=1e-13)
    assert found.score == pytest.approx(values.sum() / sizes.sum(), rel=1e-14)
    assert estimate(ratio_metric("loss"), statistics, seed=6).interval != found.interval


def test_metrics_of_the_same_examples_share_their_draws():
    texts, references = ["a cat", "no", "two"] * 9, ["a cat", "yes", "too"] * 9
    truth = str
    pairs = [
        (metric, metric.statistics(texts, references))
        for metric in (chrf(truth=truth), exact_match(truth=truth))
    ]
    together = estimates(pairs, seed=4, count=50)
    assert together == [estimate(*pair, seed=4, count=50) for pair in pairs]
    draws = at_once(27, seed=4, count=50)
    want = np.quantile(pairs[0][0].combine(draws @ pairs[0][1]), (0.025, 0.975))
    assert together[0].interval == tuple(want)


def test_an_interval_of_a_share_has_the_binomial_width():
    found = estimate(SHARE, shares(80, 100), count=20_000)
    assert found.score == 80
    assert found.interval == pytest.approx((72, 87), abs=1.1)


@pytest.mark.parametrize("right, wrong", [(9, 50), (50, 9), (0, 40), (40, 0), (3, 3)])
def test_few_right_or_few_wrong_have_wilsons_interval(right, wrong):
    found = estimate(SHARE, shares(right, right + wrong))
    want = wilson(right, right + wrong)
    assert found.interval == pytest.approx([100 * end for end in want], rel=1e-14)
    assert found.low <= found.score <= found.high
    assert found.low < found.high


def test_ten_right_and_ten_wrong_are_enough_for_a_bootstrap():
    draws = at_once(20, seed=0)
    want = np.quantile(100 * draws[:, :10].sum(1) / 20, (0.025, 0.975))
    assert estimate(SHARE, shares(10, 20)).interval == tuple(want)


def test_wilson_solves_its_equation():
    """Its ends are the shares from which what was seen lies 1.96 standard errors away."""
    for right, examples in ((1, 7), (4, 30), (29, 30)):
        for end in wilson(right, examples):
            away = abs(right / examples - end) / math.sqrt(end * (1 - end) / examples)
            assert away == pytest.approx(1.959963984540054, rel=1e-9)
    assert wilson(0, 40) == (0, pytest.approx(0.0876, abs=1e-4))
    assert wilson(40, 40) == (pytest.approx(0.9124, abs=1e-4), 1)


def test_an_end_of_the_range_in_every_draw_is_no_certainty():
    ratio = SumMetric(name="tokens", span=100.0, floor=0.0)
    sizes = np.arange(1.0, 41)
    full, empty = per_example(100 * sizes, sizes), per_example(0 * sizes, sizes)
    assert estimate(ratio, full).interval == (100 * wilson(40, 40)[0], 100)
    assert estimate(ratio, empty).interval == (0, 100 * wilson(0, 40)[1])
    few = full.copy()
    few[3, 0] -= 100
    assert estimate(ratio, few).high == 100  # it varies: as drawn
    unknown = mean_metric("quality", span=100.0)
    assert estimate(unknown, per_example(np.zeros(40))).interval == (0, 0)


def test_draws_without_a_score_are_left_out():
    metric = SumMetric(name="found")
    statistics = np.array([[2.0, 1], [0, 0], [0, 0], [0, 0]])
    found = estimate(metric, statistics)
    assert found == (2, 2, 2)
    alone = WeightedMetric(
        name="all", combine=lambda rows, weights: np.where((weights == 1).all(1), 1.0, np.nan)
    )
    assert estimate(alone, np.ones((30, 1))) == (1, -math.inf, math.inf)


@pytest.mark.parametrize(
    "pairs, message",
    [
        ([], "metrics must have an example to be estimated on, got none"),
        ([(SHARE, np.empty((0, 2)))], "metrics must have an example to be estimated on, got none"),
        (
            [(SHARE, np.ones((3, 2))), (mean_metric("m"), np.ones((4, 2)))],
            "all metrics must be of the same examples, got 3 of right, 4 of m",
        ),
        (
            [(mean_metric("m"), np.zeros((4, 2)))],
            "m must be a finite number on 4 examples, got nan",
        ),
    ],
)
def test_rejects(pairs, message):
    with pytest.raises(DataError, match=re.escape(message)):
        estimates(pairs)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05, 0.2, 0.5, 0.9, 0.99])
def test_the_interval_of_a_share_holds_the_truth_in_19_of_20_tests(share):
    """Summed over all that can be seen; of a bootstrap alone it is one in three at 0.99."""
    held = sum(
        math.comb(40, right) * share**right * (1 - share) ** (40 - right)
        for right, (_, low, high) in enumerate(of_forty())
        if low <= 100 * share <= high
    )
    assert held > 0.9


@functools.cache
def of_forty():
    return [estimate(SHARE, shares(right, 40)) for right in range(41)]
