"""Errors of numbers against plain loops."""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest

from heedful.errors import DataError, ShapeError
from heedful.metrics.regression import mean_absolute_error, mean_squared_error

SAID, TRUE = [1.0, 4.0, -2.0, 0.5, 3.0], [2.0, 4.0, 1.0, 0.0, -3.0]


def examples(values=TRUE):
    return [SimpleNamespace(target=value) for value in values]


@pytest.mark.parametrize("metric, power", [(mean_squared_error(), 2), (mean_absolute_error(), 1)])
def test_errors_are_means(metric, power):
    want = sum(abs(a - b) ** power for a, b in zip(SAID, TRUE, strict=True)) / 5
    statistics = metric.statistics(SAID, examples())
    assert metric.score(statistics) == pytest.approx(want, rel=1e-15)
    assert metric.higher_is_better is False
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 23):
        rows = list(order)
        assert metric.score(statistics[rows]) == pytest.approx(want, rel=1e-14)
    drawn = metric.scores(statistics, weights=np.array([[0, 3.0, 0, 0, 3], [0, 0, 2, 0, 0]]))
    assert drawn == pytest.approx([6**power / 2, 3**power], rel=1e-15)
    assert metric.score(metric.statistics(TRUE, examples())) == 0


@pytest.mark.parametrize(
    "metric, want", [(mean_squared_error(), (0 + 1 + 0 + 9) / 4), (mean_absolute_error(), 4 / 4)]
)
def test_every_number_counts_as_much(metric, want):
    statistics = metric.statistics([[1, 2, 3], [5]], examples([[1, 3, 3], [2]]))
    assert metric.score(statistics) == want


def test_names_and_what_is_read():
    assert (mean_squared_error().name, mean_absolute_error().name) == ("mse", "mae")
    lengths = mean_absolute_error(name="length", answer=len, truth=abs)
    assert (lengths.name, lengths.score(lengths.statistics(["abc"], [-1]))) == ("length", 2)
    lengths = mean_squared_error(name="length", answer=len, truth=abs)
    assert (lengths.name, lengths.score(lengths.statistics(["abc"], [-1]))) == ("length", 4)


@pytest.mark.parametrize(
    "said, true, error, message",
    [
        (
            [1.0, [1.0, 2.0]],
            [1.0, [1.0]],
            ShapeError,
            "an answer must have the shape of the truth, got (2,) and (1,) for example 1",
        ),
        ([[]], [[]], DataError, "every example must have a number, got none for example 0"),
        (
            [1.0, np.nan],
            [1.0, 2.0],
            DataError,
            "answers and truth must be finite, got something else for example 1",
        ),
        ([1.0], [np.inf], DataError, "answers and truth must be finite"),
    ],
)
def test_rejects(said, true, error, message):
    with pytest.raises(error, match=re.escape(message)):
        mean_squared_error().statistics(said, examples(true))
