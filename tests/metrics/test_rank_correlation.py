"""Spearman's correlation, against ranks counted pair by pair and against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.metrics.rank_correlation import rank_correlation


def ranks(values):
    """How many values lie below each one, ties counted half."""
    return [
        sum(other < value for other in values) + sum(other == value for other in values) / 2
        for value in values
    ]


PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12)


@given(PAIRS)
def test_it_is_the_correlation_of_ranks(pairs):
    first, second = zip(*pairs, strict=True)
    found = rank_correlation(first, second)
    if len({*first}) == 1 or len({*second}) == 1:
        assert found == 0
    else:
        assert found == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1], abs=1e-12)


def test_scipy_agrees():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    first, second = generator.integers(5, size=(2, 30))
    expected = stats.spearmanr(first, second).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ([1.0, 2.0, 3.0, 4.0], [1.0, 8.0, 27.0, 64.0], 1.0),
        ([4.0, 3.0, 2.0], [1.0, 2.0, 3.0], -1.0),
        ([1.0], [2.0], 0.0),
        ([1.0, 1.0], [1.0, 2.0], 0.0),
    ],
)
def test_orders_that_are_the_same_or_reversed_or_none(first, second, expected):
    assert rank_correlation(first, second) == pytest.approx(expected)
