"""Metrics of order: area under the curve, average precision, recall and gain of the first k."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.metrics.metric import PER_CENT, Floats, SumMetric, WeightedMetric, per_example
from heedful.metrics.reading import Read, itself, paired

LABEL, LABELS, RELEVANT = attrgetter("label"), attrgetter("labels"), attrgetter("relevant")


def area_under_curve(
    *, name: str = "auc", answer: Read = itself, truth: Read = LABEL
) -> WeightedMetric:
    """Return how often a positive example has a larger score than a negative one, in per cent.

    The area under the curve of true against false positives. Equal scores count half. Where all
    are positive or all negative there is none.

    Args:
        name: As budgets call it.
        answer: The score of an answer.
        truth: Is the example positive? 0 or 1.

    Source:
        Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve".

    Cost:
        Scores are sorted once for a block of draws; each draw then takes time linear in the
        examples.
    """
    return _of_scores(name, _area, answer, truth)


def mean_average_precision(
    *, name: str = "map", answer: Read = itself, truth: Read = LABELS
) -> WeightedMetric:
    """Return the mean over classes of the average precision, in per cent.

    Of one class it is the mean, over its examples, of the precision among all with at least their
    score. Classes without an example are left out, in a resample too.

    Args:
        name: As budgets call it.
        answer: The scores of an answer, one for each class.
        truth: Does the example belong to each class? As many, 0 or 1.

    Source:
        Manning et al. 2008, "Introduction to Information Retrieval", section 8.4 (of steps, not of
        interpolated precision).

    Cost:
        Scores of each class are sorted once for a block of draws.
    """
    return _of_scores(name, _mean_precision, answer, truth)


def recall_at(k: int, *, answer: Read = itself, truth: Read = RELEVANT) -> SumMetric:
    """Return the share of relevant things among the first `k` of an answer, in per cent.

    A mean over examples. With one relevant thing each it is the accuracy of the first `k`.

    Args:
        k: How many are looked at. At least 1.
        answer: The things of an answer, the likeliest first.
        truth: The relevant things of an example, one at least, or the gain of each, which is above
            0 for those that are.

    Raises:
        ConfigError: `k` is below 1.
    """

    def share(ranked: list[Any], relevant: Collection[Any]) -> float:
        gains = _gains(relevant)
        wanted = {thing for thing in relevant if gains[thing] > 0}
        return len(wanted.intersection(ranked[:k])) / len(wanted)

    return _of_ranks("recall", k, share, answer, truth)


def ndcg_at(k: int, *, answer: Read = itself, truth: Read = RELEVANT) -> SumMetric:
    """Return the gain of the first `k` of an answer, as a share of the best one, in per cent.

    The thing at rank `r`, from 1 on, counts its gain over `log2(r + 1)`. A mean over examples.

    Args:
        k: How many are looked at. At least 1.
        answer: The things of an answer, the likeliest first.
        truth: The gain of each relevant thing of an example, or the things, with a gain of 1 each.

    Raises:
        ConfigError: `k` is below 1.

    Source:
        Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".
    """

    def share(ranked: list[Any], relevant: Collection[Any]) -> float:
        gains = _gains(relevant)
        best = sorted(gains.values(), reverse=True)
        found = [gains.get(thing, 0.0) for thing in dict.fromkeys(ranked)]
        discounts = 1 / np.log2(np.arange(2, k + 2))
        return _discounted(found, discounts) / _discounted(best, discounts)

    return _of_ranks("ndcg", k, share, answer, truth)


def _gains(relevant: Collection[Any]) -> Mapping[Any, float]:
    return relevant if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)


def _discounted(gains: Sequence[float], discounts: Floats) -> float:
    first = np.array(gains[: len(discounts)], float)
    return float(first @ discounts[: len(first)])


def _of_ranks(name: str, k: int, share: Any, answer: Read, truth: Read) -> SumMetric:
    if k < 1:
        raise ConfigError(f"k must be at least 1, got {k}")

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        said, true = paired(answers, examples, answer=answer, truth=truth)
        for row, relevant in enumerate(true):
            gains = _gains(relevant).values()
            if not max(gains, default=0) > 0 or min(gains) < 0:
                raise DataError(
                    "every example must have a relevant thing, and no gain below 0, "
                    f"got {relevant!r} for example {row}"
                )
        pairs = zip(said, true, strict=True)
        return per_example([PER_CENT * share(list(ranked), relevant) for ranked, relevant in pairs])

    return SumMetric(name=f"{name}@{k}", of=of, span=PER_CENT, floor=0.0, unit="%")


def _of_scores(name: str, combine: Any, answer: Read, truth: Read) -> WeightedMetric:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        sides = paired(answers, examples, answer=answer, truth=truth)
        scores, labels = (_table(side) for side in sides)
        if scores.shape != labels.shape:
            raise ShapeError(
                "an answer must have as many scores as the truth has labels, "
                f"got {scores.shape[1]} and {labels.shape[1]}"
            )
        if not np.isin(labels, (0, 1)).all():
            row = int(np.isin(labels, (0, 1)).all(1).argmin())
            raise DataError(f"labels must be 0 or 1, got {labels[row]} for example {row}")
        if not np.isfinite(scores).all():
            row = int(np.isfinite(scores).all(1).argmin())
            raise DataError(f"scores must be finite, got {scores[row]} for example {row}")
        return np.hstack([scores, labels])

    return WeightedMetric(name=name, of=of, combine=combine, span=PER_CENT, floor=0.0, unit="%")


def _table(rows: Sequence[Any]) -> Floats:
    vectors = [np.ravel(np.asarray(row, float)) for row in rows]
    counts = sorted({len(vector) for vector in vectors})
    if len(counts) > 1:
        raise ShapeError(
            "every example must have a score and a label for each class, "
            f"got {counts[0]} of some and {counts[-1]} of others"
        )
    return np.stack(vectors)


def _area(statistics: Floats, weights: Floats) -> Floats:
    ((right, wrong),) = _grouped(statistics, weights)
    below = wrong.cumsum(1) - wrong
    with np.errstate(invalid="ignore"):
        share = (right * (below + wrong / 2)).sum(1) / (right.sum(1) * wrong.sum(1))
    return PER_CENT * share


def _mean_precision(statistics: Floats, weights: Floats) -> Floats:
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for right, wrong in _grouped(statistics, weights):
        found, all_of = (side[:, ::-1].cumsum(1)[:, ::-1] for side in (right, right + wrong))
        precision = found / np.where(all_of > 0, all_of, 1)
        there = right.sum(1) > 0
        total += (right * precision).sum(1) / np.where(there, right.sum(1), 1)
        classes += there
    with np.errstate(invalid="ignore"):
        return PER_CENT * total / classes


def _grouped(statistics: Floats, weights: Floats) -> Iterator[tuple[Floats, Floats]]:
    """For each class the weights of its examples and of the others, by score, the lowest first."""
    for scores, labels in zip(*np.split(statistics.T, 2), strict=True):
        order: NDArray[np.int64] = scores.argsort()
        starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
        ordered, right = weights[:, order], labels[order] > 0
        yield (
            np.add.reduceat(ordered * right, starts, axis=1),
            np.add.reduceat(ordered * ~right, starts, axis=1),
        )
