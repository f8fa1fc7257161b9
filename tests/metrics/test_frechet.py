"""The Fréchet distance against the formula with eigenvalues of the product of covariances."""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.errors import DataError, ShapeError
from heedful.metrics.frechet import frechet_distance
from heedful.metrics.interval import estimate, resamples

METRIC = frechet_distance()


def clouds(examples=5, features=3, seed=2):
    random = np.random.default_rng(seed)
    made = random.normal(1, 2, (examples, features))
    return made, random.normal(3, 1, (examples, features)) @ random.normal(0, 1, (features,) * 2)


def wrapped(features):
    return [SimpleNamespace(features=row) for row in features]


def statistics_of(made, real):
    return METRIC.statistics(wrapped(made), wrapped(real))


def slow(made, real):
    """Trace of the root of a product: the sum of the roots of its eigenvalues."""
    a, b = (np.cov(side.T, bias=True).reshape(side.shape[1], -1) for side in (made, real))
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    apart = ((made.mean(0) - real.mean(0)) ** 2).sum()
    return apart + np.trace(a) + np.trace(b) - 2 * roots


@pytest.mark.parametrize("examples, features", [(5, 3), (40, 6), (5, 1), (4, 9)])
def test_the_distance_is_the_formula(examples, features):
    made, real = clouds(examples, features)
    # where there are fewer examples than features, roots of noise stand among the eigenvalues
    found = METRIC.score(statistics_of(made, real))
    assert found == pytest.approx(slow(made, real), rel=1e-6)
    assert (METRIC.name, METRIC.higher_is_better) == ("frechet", False)


def test_one_feature_has_a_closed_form():
    made, real = clouds(30, 1)
    want = (made.mean() - real.mean()) ** 2 + (made.std() - real.std()) ** 2
    assert METRIC.score(statistics_of(made, real)) == pytest.approx(want, rel=1e-12)


def test_order_does_not_matter_and_the_same_cloud_is_at_0():
    made, real = clouds()
    want = METRIC.score(statistics_of(made, real))
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 31):
        found = METRIC.score(statistics_of(made[list(order)], real))
        assert found == pytest.approx(want, rel=1e-9)
    assert METRIC.score(statistics_of(real, real)) == pytest.approx(0, abs=1e-12)
    assert METRIC.score(statistics_of(real, made)) == pytest.approx(want, rel=1e-9)


def test_every_draw_is_that_of_its_examples():
    made, real = clouds(12, 2)
    draws = np.random.default_rng(1).integers(0, 3, (6, 12))
    want = [slow(np.repeat(made, draw, 0), np.repeat(real, draw, 0)) for draw in draws]
    scores = METRIC.scores(statistics_of(made, real), weights=7.0 * draws)
    assert scores == pytest.approx(want, rel=1e-9)


def test_features_far_from_0_lose_no_digits():
    made, real = clouds()
    near = METRIC.score(statistics_of(made, real))
    assert METRIC.score(statistics_of(made + 1e6, real + 1e6)) == pytest.approx(near, rel=1e-6)


def test_the_interval_holds_the_score_and_that_of_other_examples():
    """Resamples are farther apart than the examples: their middle is not the interval's."""
    statistics = statistics_of(*normal(0))
    found = estimate(METRIC, statistics, count=300)
    draws = np.concatenate(
        [
            METRIC.scores(statistics, weights=weights)
            for weights in resamples(200, seed=0, count=300)
        ]
    )
    assert np.quantile(draws, 0.025) > found.score
    assert 0 < found.low < found.score < found.high
    assert found.high - found.low == pytest.approx(np.ptp(np.quantile(draws, (0.025, 0.975))))
    others = [METRIC.score(statistics_of(*normal(seed))) for seed in range(1, 40)]
    assert np.mean([found.low <= other <= found.high for other in others]) > 0.7


def test_a_distance_is_never_below_0():
    found = estimate(METRIC, statistics_of(*[clouds()[0]] * 2), count=50)
    assert found == pytest.approx((0, 0, 0), abs=1e-9)
    assert found.low >= 0


def normal(seed):
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (200, 24)), random.normal(0.1, 1, (200, 24))


def test_names_and_what_is_read():
    made, real = clouds()
    metric = frechet_distance(name="fid", answer=lambda row: row[:2], truth=lambda row: row[1:])
    assert metric.name == "fid"
    found = metric.score(metric.statistics(list(made), list(real)))
    assert found == pytest.approx(slow(made[:, :2], real[:, 1:]), rel=1e-6)


@pytest.mark.parametrize(
    "made, real, error, message",
    [
        (
            np.ones((4, 2)),
            np.ones((4, 3)),
            ShapeError,
            "answers must have as many features as the truth, got 2 and 3",
        ),
        ([[1.0], [1.0, 2.0]], np.ones((2, 1)), ShapeError, "all features must be as many"),
        (np.ones((2, 2, 3)), np.ones((2, 3)), ShapeError, "one vector each, got shape (2, 3)"),
        (np.ones((2, 0)), np.ones((2, 0)), ShapeError, "one vector each, got shape (0,)"),
        (
            np.ones((2, 1)),
            np.array([[0.0], [np.nan]]),
            DataError,
            "features must be finite, got something else for example 1",
        ),
    ],
)
def test_rejects(made, real, error, message):
    with pytest.raises(error, match=re.escape(message)):
        statistics_of(made, real)
