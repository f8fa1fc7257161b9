"""Metrics of masks: intersection over union, and Dice."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError, ShapeError
from heedful.metrics.classification import mean_f1
from heedful.metrics.metric import PER_CENT, Floats, SumMetric
from heedful.metrics.reading import Read, itself, paired

MASK = attrgetter("mask")
Ints = NDArray[np.int64]


def mean_iou(
    *,
    labels: Sequence[int] | None = None,
    ignore: int | None = None,
    background: int | None = None,
    answer: Read = itself,
    truth: Read = MASK,
) -> SumMetric:
    """Return the intersection over the union of all pixels, a mean over labels, in per cent.

    Pixels are summed over all examples first, as is usual for segmentation. Labels that are true
    of no pixel of a resample are left out there.

    Args:
        labels: Those that count, e.g. `[1]` where 0 is the background. `None` means: those that
            are true of a pixel.
        ignore: The truth of pixels that do not count.
        background: A label that does not count where `labels` is `None`.
        answer: The label of each pixel of an answer.
        truth: Those of an example.

    Source:
        Everingham et al. 2010, "The PASCAL visual object classes (VOC) challenge", section 4.1.
    """
    chosen = _Chosen(labels, ignore, background)
    return _overlap("mean_iou", _mean_iou, chosen, answer=answer, truth=truth)


def mean_dice(
    *,
    labels: Sequence[int] | None = None,
    ignore: int | None = None,
    background: int | None = None,
    answer: Read = itself,
    truth: Read = MASK,
) -> SumMetric:
    """Return Dice's coefficient of all pixels, a mean over labels, in per cent.

    Twice the intersection over both sizes: the F1 score of pixels. Pixels are summed over all
    examples first. Labels that are true of no pixel of a resample are left out there.

    Args:
        labels: Those that count, e.g. `[1]` where 0 is the background. `None` means: those that
            are true of a pixel.
        ignore: The truth of pixels that do not count.
        background: A label that does not count where `labels` is `None`.
        answer: The label of each pixel of an answer.
        truth: Those of an example.

    Source:
        Dice 1945, "Measures of the amount of ecologic association between species".
    """
    chosen = _Chosen(labels, ignore, background)
    return _overlap("mean_dice", mean_f1, chosen, answer=answer, truth=truth)


class _Chosen(NamedTuple):
    """Which pixels and labels count."""

    labels: Sequence[int] | None
    ignore: int | None
    background: int | None


def _overlap(
    name: str,
    combine: Callable[[Floats], Floats],
    which: _Chosen,
    *,
    answer: Read,
    truth: Read,
) -> SumMetric:
    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        said, true = paired(answers, examples, answer=answer, truth=truth)
        pairs = [
            _pixels(*pair, row, which.ignore)
            for row, pair in enumerate(zip(said, true, strict=True))
        ]
        chosen = which.labels
        if chosen is None:
            there = np.unique(np.concatenate([b for _, b in pairs]))
            chosen = there[there != which.background]
        counted = np.asarray(chosen, np.int64)
        if not counted.size:
            raise DataError(f"{name} must have a label to count, got none")
        return np.array([_counts(*pair, counted) for pair in pairs])

    return SumMetric(name=name, of=of, combine=combine, span=PER_CENT, floor=0.0, unit="%")


def _pixels(answer: Any, truth: Any, row: int, ignore: int | None) -> tuple[Ints, Ints]:
    said, true = np.asarray(answer), np.asarray(truth)
    if said.shape != true.shape:
        raise ShapeError(
            "an answer must have the shape of the truth, "
            f"got {said.shape} and {true.shape} for example {row}"
        )
    kept = np.ones(true.shape, bool) if ignore is None else true != ignore
    return said[kept].astype(np.int64), true[kept].astype(np.int64)


def _counts(answer: Ints, truth: Ints, labels: Ints) -> Floats:
    """For each label, pixels with it in both, in the answer, and in the truth."""
    both = answer[answer == truth]
    counts = [[(pixels == x).sum() for pixels in (both, answer, truth)] for x in labels]
    return np.array(counts, float).ravel()


def _mean_iou(sums: Floats) -> Floats:
    both, said, true = np.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)
    there = true > 0
    shares = both / np.where(there, said + true - both, 1) * there
    with np.errstate(invalid="ignore"):
        return PER_CENT * shares.sum(1) / there.sum(1)
