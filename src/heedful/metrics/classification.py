"""Metrics of labels: accuracy, macro F1, and the scores of each label."""

from collections.abc import Hashable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from heedful.errors import ShapeError
from heedful.metrics.metric import PER_CENT, Floats, SumMetric, per_example
from heedful.metrics.reading import Read, itself, paired

LABEL = attrgetter("label")


def accuracy(*, name: str = "accuracy", answer: Read = itself, truth: Read = LABEL) -> SumMetric:
    """Return the share of right answers, in per cent.

    Args:
        name: As budgets call it.
        answer: The label of an answer.
        truth: The label of an example.
    """

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        said, true = paired(answers, examples, answer=answer, truth=truth)
        return per_example([PER_CENT * bool(a == b) for a, b in zip(said, true, strict=True)])

    return SumMetric(name=name, of=of, span=PER_CENT, floor=0.0, unit="%", share=True)


def any_right(*, name: str = "accuracy", answer: Read = itself, truth: Read = itself) -> SumMetric:
    """Return the share of answers that are one of several right ones, in per cent.

    Args:
        name: As budgets call it.
        answer: What is compared of an answer.
        truth: The set of what is right of an example.
    """

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        said, right = paired(answers, examples, answer=answer, truth=truth)
        return per_example([PER_CENT * (a in r) for a, r in zip(said, right, strict=True)])

    return SumMetric(name=name, of=of, span=PER_CENT, floor=0.0, unit="%", share=True)


def macro_f1(*, answer: Read = itself, truth: Read = LABEL) -> SumMetric:
    """Return the mean of the F1 scores of all labels that are true of an example, in per cent.

    A label counts as much as any other, however few examples have it. One that is only answered
    and never true has no score of its own: it lowers those of the labels that it stands for. In a
    resample the labels that are true of none of its examples are left out.

    Args:
        answer: The label of an answer.
        truth: The label of an example.

    Source:
        van Rijsbergen 1979, "Information Retrieval", chapter 7 (F); Opitz and Burst 2019,
        arXiv:1911.03347 (the mean of F1 scores, not the F1 of means).
    """

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        said, true = paired(answers, examples, answer=answer, truth=truth)
        return label_counts(said, true, labels=labels_of(true))

    return SumMetric(name="macro_f1", of=of, combine=mean_f1, span=PER_CENT, floor=0.0, unit="%")


def labels_of(truths: Sequence[Hashable]) -> list[Any]:
    """Return the labels that are true of an example, each one once, in order."""
    return sorted(set(truths), key=lambda label: (str(type(label)), label))


def label_counts(
    answers: Sequence[Hashable], truths: Sequence[Hashable], *, labels: Sequence[Hashable]
) -> Floats:
    """Return three columns for each label: is it rightly answered, answered, and true?

    Args:
        answers: The label of each answer.
        truths: The label of each example.
        labels: Those that are counted.
    """
    known = {label: column for column, label in enumerate(labels)}
    counts = np.zeros((len(truths), len(labels), 3))
    for row, (said, true) in enumerate(zip(answers, truths, strict=True)):
        if said in known:
            counts[row, known[said], 1] = 1
            counts[row, known[said], 0] = said == true
        if true in known:
            counts[row, known[true], 2] = 1
    return counts.reshape(len(truths), -1)


class LabelScores(NamedTuple):
    """What a model is worth on one label, in per cent.

    `precision` is the share of right ones among the answers with this label, and not a number
    where there are none; `recall` the share of its examples that were found.
    """

    examples: int
    precision: float
    recall: float
    f1: float


def by_label(statistics: Floats, *, labels: Sequence[Any]) -> dict[Any, LabelScores]:
    """Return the scores of each label.

    Args:
        statistics: What `label_counts` returns.
        labels: Those that were counted.

    Raises:
        ShapeError: There are not three columns for each label.
    """
    if statistics.shape[1] != 3 * len(labels):
        raise ShapeError(
            "statistics must have three columns for each label, "
            f"got {statistics.shape[1]} columns for {len(labels)} labels"
        )
    counts = statistics.sum(0).reshape(-1, 3)
    right, said, true = counts.T
    with np.errstate(invalid="ignore"):
        scores = PER_CENT * np.stack([right / said, right / true, 2 * right / (said + true)], 1)
    return {
        label: LabelScores(int(count[2]), *score.tolist())
        for label, count, score in zip(labels, counts, scores, strict=True)
    }


def mean_f1(sums: Floats) -> Floats:
    """Return the mean of the F1 scores of the labels that are true of something, in per cent.

    Args:
        sums: For each label three columns: what is rightly answered, answered, and true.
    """
    right, said, true = np.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)
    there = true > 0
    scores = 2 * right / np.where(there, said + true, 1) * there
    with np.errstate(invalid="ignore"):
        return PER_CENT * scores.sum(1) / there.sum(1)
