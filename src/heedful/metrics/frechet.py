"""The Fréchet distance between what was made and what is true, from moments of features."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from heedful.errors import DataError, ShapeError
from heedful.metrics.metric import Floats, SumMetric
from heedful.metrics.reading import Read, paired

FEATURES = attrgetter("features")


def frechet_distance(
    *, name: str = "frechet", answer: Read = FEATURES, truth: Read = FEATURES
) -> SumMetric:
    """Return the Fréchet distance between two clouds of features, as if both were normal.

    The squared distance of the means, and what the covariances differ by. With features of an
    Inception network this is the FID; with those of any other classifier only numbers of the same
    classifier and about as many examples can be compared: with few examples it is too large.

    Args:
        name: As budgets call it.
        answer: The features of an answer, one vector.
        truth: The features of what is true, as many.

    Source:
        Dowson and Landau 1982, "The Fréchet distance between multivariate normal distributions";
        Heusel et al. 2017, arXiv:1706.08500, section 3 (FID).

    Cost:
        About the square of the features is kept for each example, and two eigenvalue problems are
        solved for each draw.
    """

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        sides = paired(answers, examples, answer=answer, truth=truth)
        return _statistics(*(_matrix(side) for side in sides))

    return SumMetric(name=name, of=of, combine=_distance, higher_is_better=False, distance=True)


def _matrix(vectors: Sequence[Any]) -> Floats:
    try:
        matrix = np.array(vectors, float)
    except ValueError:
        raise ShapeError("all features must be as many, got different numbers of them") from None
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise ShapeError(f"features must be one vector each, got shape {matrix.shape[1:]}")
    if not np.isfinite(matrix).all():
        row = int(np.isfinite(matrix).all(1).argmin())
        raise DataError(f"features must be finite, got something else for example {row}")
    return matrix


def _statistics(made: Floats, real: Floats) -> Floats:
    if made.shape != real.shape:
        raise ShapeError(
            "answers must have as many features as the truth, "
            f"got {made.shape[1]} and {real.shape[1]}"
        )
    # moments around what is near to both lose no digits
    middle = real.mean(0)
    return np.hstack([np.ones((len(real), 1)), _moments(made - middle), _moments(real - middle)])


def _moments(features: Floats) -> Floats:
    """Each feature, and the product of each pair."""
    rows, columns = np.triu_indices(features.shape[1])
    return np.hstack([features, features[:, rows] * features[:, columns]])


def _distance(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums[:, 1:] / sums[:, :1]
    (made, spread), (real, other) = (_cloud(side) for side in np.split(means, 2, axis=1))
    values, vectors = np.linalg.eigh(spread)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ np.swapaxes(vectors, 1, 2)
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum(1)
    traces = np.trace(spread, axis1=1, axis2=2) + np.trace(other, axis1=1, axis2=2)
    return np.maximum(((made - real) ** 2).sum(1) + traces - 2 * common, 0)


def _cloud(means: Floats) -> tuple[Floats, Floats]:
    """The mean and the covariance of features, for each draw."""
    count = round((2 * means.shape[1] + 2.25) ** 0.5 - 1.5)  # count + count (count + 1) / 2 columns
    mean = means[:, :count]
    square = np.empty((len(means), count, count))
    rows, columns = np.triu_indices(count)
    square[:, rows, columns] = square[:, columns, rows] = means[:, count:]
    return mean, square - mean[:, :, None] * mean[:, None]
