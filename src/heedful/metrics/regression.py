"""Metrics of numbers: the mean squared and the mean absolute error."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError, ShapeError
from heedful.metrics.metric import Floats, SumMetric
from heedful.metrics.reading import Read, itself, paired

TARGET = attrgetter("target")


def mean_squared_error(
    *, name: str = "mse", answer: Read = itself, truth: Read = TARGET
) -> SumMetric:
    """Return the mean of the squared errors of all numbers: one an example, or many.

    Args:
        name: As budgets call it.
        answer: The number or the numbers of an answer.
        truth: Those of an example, as many.
    """
    return _mean_error(name, answer, truth, power=2)


def mean_absolute_error(
    *, name: str = "mae", answer: Read = itself, truth: Read = TARGET
) -> SumMetric:
    """Return the mean of the absolute errors of all numbers: one an example, or many.

    Args:
        name: As budgets call it.
        answer: The number or the numbers of an answer.
        truth: Those of an example, as many.
    """
    return _mean_error(name, answer, truth, power=1)


def _mean_error(name: str, answer: Read, truth: Read, *, power: int) -> SumMetric:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        said, true = paired(answers, examples, answer=answer, truth=truth)
        statistics = np.empty((len(true), 2))
        for row, pair in enumerate(zip(said, true, strict=True)):
            error = np.abs(_difference(*pair, row))
            statistics[row] = (error**power).sum(), error.size
        return statistics

    return SumMetric(name=name, of=of, higher_is_better=False)


def _difference(answer: Any, truth: Any, row: int) -> NDArray[np.float64]:
    said, true = np.asarray(answer, float), np.asarray(truth, float)
    if said.shape != true.shape:
        raise ShapeError(
            "an answer must have the shape of the truth, "
            f"got {said.shape} and {true.shape} for example {row}"
        )
    if not true.size:
        raise DataError(f"every example must have a number, got none for example {row}")
    if not (np.isfinite(said).all() and np.isfinite(true).all()):
        raise DataError(f"answers and truth must be finite, got something else for example {row}")
    return said - true
