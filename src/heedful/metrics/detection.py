"""Metrics of boxes: average precision, and how many of the true ones are found."""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from heedful.errors import ConfigError, DataError
from heedful.metrics.metric import CELLS, PER_CENT, Floats, SumMetric, WeightedMetric
from heedful.metrics.reading import Read, itself, paired

BOXES = attrgetter("boxes")


class Boxed(Protocol):
    """A box with its label, in any unit of length."""

    @property
    def label(self) -> str: ...
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...


def average_precision(
    *,
    overlap: float = 0.5,
    most: int = 200,
    name: str | None = None,
    answer: Read = itself,
    truth: Read = BOXES,
) -> WeightedMetric:
    """Return the mean over labels of the area under precision by recall, in per cent.

    A box is right where it lies on a true box of its label with at least `overlap`, intersection
    over union. The surest boxes of an image choose first, each the free true box on which it lies
    best, as in COCO; a second box on one thing is wrong. Precision at a recall is the best one at
    that recall or above. Labels without a true box are left out, in a resample too.

    Args:
        overlap: Above 0, and 1 at most.
        most: Boxes of an answer that count, the surest ones.
        name: As budgets call it; `None` means `ap50` where `overlap` is 0.5.
        answer: Boxes of an answer, each with a `score`: any number, larger where it is surer.
        truth: Those of an example.

    Raises:
        ConfigError: `overlap` or `most` is out of its range.

    Source:
        Everingham et al. 2010, "The PASCAL visual object classes (VOC) challenge", section 4.2,
        with the area under all points of the curve, as from 2010 on.
        Lin et al. 2014, arXiv:1405.0312 (which true box a found one is matched with: their code).

    Cost:
        For each draw, time linear in all boxes that were found; they are sorted once.
    """
    _check(overlap, most)

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        labels, rows = _matched(answers, examples, overlap, most, answer, truth)
        width = 1 + len(labels) + 3 * most
        statistics = np.zeros((len(rows), width))
        statistics[:, 0] = len(labels)
        for row, (counts, hits) in zip(statistics, rows, strict=True):
            row[1 : 1 + len(labels)] = counts
            row[1 + len(labels) :][: 3 * len(hits)] = np.ravel(hits)
        return statistics

    return WeightedMetric(
        name=name or f"ap{overlap * PER_CENT:.0f}",
        of=of,
        combine=_precision,
        span=PER_CENT,
        floor=0.0,
        unit="%",
    )


def box_recall(
    *,
    overlap: float = 0.5,
    most: int = 200,
    name: str | None = None,
    answer: Read = itself,
    truth: Read = BOXES,
) -> SumMetric:
    """Return the share of true boxes on which a box of their label lies, a mean over labels.

    In per cent. Boxes are matched as for `average_precision`, and however unsure one is, it counts.

    Args:
        overlap: Above 0, and 1 at most.
        most: Boxes of an answer that count, the surest ones.
        name: As budgets call it; `None` means `recall50` where `overlap` is 0.5.
        answer: Boxes of an answer, each with a `score`.
        truth: Those of an example.

    Raises:
        ConfigError: `overlap` or `most` is out of its range.
    """
    _check(overlap, most)

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Floats:
        labels, rows = _matched(answers, examples, overlap, most, answer, truth)
        found = [
            [sum(hit.right for hit in hits if hit.label == each + 1) for each in range(len(labels))]
            for _, hits in rows
        ]
        return np.hstack([np.array(found, float), np.array([counts for counts, _ in rows], float)])

    return SumMetric(
        name=name or f"recall{overlap * PER_CENT:.0f}",
        of=of,
        combine=_recall,
        span=PER_CENT,
        floor=0.0,
        unit="%",
    )


class _Hit(NamedTuple):
    """A box that was found: how sure, is it right, and which label."""

    score: float
    right: float
    label: int  # from 1 on, so that 0 is none


def _check(overlap: float, most: int) -> None:
    if not 0 < overlap <= 1:
        raise ConfigError(f"overlap must be above 0 and at most 1, got {overlap}")
    if most < 1:
        raise ConfigError(f"most must be at least 1, got {most}")


def _matched(
    answers: Sequence[Any],
    examples: Sequence[Any],
    overlap: float,
    most: int,
    answer: Read,
    truth: Read,
) -> tuple[list[str], list[tuple[list[int], list[_Hit]]]]:
    """Labels that are true of a box; for each example true boxes by label, and what was found."""
    said, true = paired(answers, examples, answer=answer, truth=truth)
    labels = sorted({box.label for boxes in true for box in boxes})
    if not labels:
        raise DataError("metrics of boxes must have a true box, got none")
    numbers = {label: number for number, label in enumerate(labels, 1)}
    rows: list[tuple[list[int], list[_Hit]]] = []
    for row, (found, boxes) in enumerate(zip(said, true, strict=True)):
        unsure = [box.score for box in found if not math.isfinite(box.score)]
        if unsure:
            raise DataError(f"scores must be finite, got {unsure[0]} for example {row}")
        surest = sorted(found, key=lambda box: -box.score)[:most]
        known = [box for box in surest if box.label in numbers]
        hits = zip(known, _hits(known, list(boxes), overlap), strict=True)
        counts = [sum(box.label == label for box in boxes) for label in labels]
        rows.append((counts, [_Hit(a.score, float(ok), numbers[a.label]) for a, ok in hits]))
    return labels, rows


def _hits(found: Sequence[Any], boxes: Sequence[Any], overlap: float) -> list[bool]:
    """Which found boxes are right, the surest ones first."""
    if not boxes:
        return [False] * len(found)
    shares = overlaps(found, boxes)
    alike = np.array([[a.label == b.label for b in boxes] for a in found], bool)
    free = np.ones(len(boxes), bool)
    right: list[bool] = []
    for row, same in zip(shares, alike.reshape(len(found), len(boxes)), strict=True):
        row = np.where(free & same, row, 0.0)
        best = int(row.argmax())
        right.append(bool(row[best] >= overlap))
        free[best] &= not right[-1]
    return right


def overlaps(first: Sequence[Boxed], second: Sequence[Boxed]) -> Floats:
    """Return the intersection over the union of each of the first boxes with each of the second.

    Args:
        first: Boxes.
        second: Other ones.
    """
    a, b = (
        np.array([(box.x, box.y, box.width, box.height) for box in boxes], float).reshape(-1, 4)
        for boxes in (first, second)
    )
    ends_a, ends_b = a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]
    sides = np.minimum(ends_a[:, None], ends_b) - np.maximum(a[:, None, :2], b[:, :2])
    both = sides.clip(0).prod(2)
    union = a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1) - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def _recall(sums: Floats) -> Floats:
    found, true = np.split(sums, 2, axis=1)
    there = true > 0
    with np.errstate(invalid="ignore"):
        return PER_CENT * (found / np.where(there, true, 1) * there).sum(1) / there.sum(1)


def _precision(statistics: Floats, weights: Floats) -> Floats:
    labels = int(statistics[0, 0])
    counts = statistics[:, 1 : 1 + labels]
    hits = statistics[:, 1 + labels :].reshape(len(statistics), -1, 3)
    example, place = np.nonzero(hits[:, :, 2])
    scores, right, label = hits[example, place].T
    order = (-scores).argsort(kind="stable")
    total, there = np.zeros(len(weights)), np.zeros(len(weights))
    for number in range(labels):
        chosen = order[label[order] == number + 1]
        true = weights @ counts[:, number]
        area = _areas(scores[chosen], right[chosen], example[chosen], weights)
        total += area / np.where(true > 0, true, 1)
        there += true > 0
    with np.errstate(invalid="ignore"):
        return PER_CENT * total / there


def _areas(scores: Floats, right: Floats, example: NDArray[np.int64], weights: Floats) -> Floats:
    """For each draw the sum, over right boxes, of the best precision at their recall or above."""
    if not len(scores):
        return np.zeros(len(weights))
    last = np.append(np.diff(scores) != 0, True)  # boxes as sure as others come all at once
    areas: list[Floats] = []
    step = max(1, CELLS // len(scores))
    for start in range(0, len(weights), step):
        here = weights[start : start + step, example]
        sums = here.cumsum(1)
        precision = np.where(last, (here * right).cumsum(1) / np.where(sums > 0, sums, 1), 0.0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        areas.append((here * right * best).sum(1))
    return np.concatenate(areas)
