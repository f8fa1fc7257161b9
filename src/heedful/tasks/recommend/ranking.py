"""Ten items out of scores of all of them, and how well the scores part what is relevant."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.metrics.metric import PER_CENT

TOP = 10


@dataclass(frozen=True)
class Answer:
    """What is recommended.

    Args:
        items: The best first.
        shares: How likely each one is, of all that may be recommended.
        area: The share of pairs of a relevant and another item that the scores put in the right
            order, in per cent; -1 where nobody knows what is relevant.
    """

    items: tuple[str, ...]
    shares: tuple[float, ...]
    area: float = -1.0


def ranked(
    scores: NDArray[np.floating],
    names: list[str],
    *,
    seen: Sequence[NDArray[np.int64]],
    relevant: Sequence[Sequence[int]],
) -> Iterator[Answer]:
    """Rank all items for each row of scores.

    Args:
        scores: Logits, `(rows, items)`.
        names: Of the items.
        seen: Columns that may not be recommended in each row.
        relevant: Columns that are relevant in each row; -1 stands for one that is not there.
    """
    for row, had, right in zip(scores.astype(np.float64), seen, relevant, strict=True):
        free = np.ones(len(row), bool)
        free[had] = False
        best = np.where(free, row, -np.inf)
        most = min(TOP, int(free.sum()))
        first = np.argsort(-best, kind="stable")[:most]
        odds = np.exp(best - best.max()) if most else best
        items = tuple(names[each] for each in first.tolist())
        shares = tuple((odds[first] / odds.sum()).tolist())
        yield Answer(items, shares, _area(row, free, right))


def _area(row: NDArray[np.float64], free: NDArray[np.bool_], relevant: Sequence[int]) -> float:
    if not len(relevant):
        return -1.0
    others = free.copy()
    others[[each for each in relevant if each >= 0]] = False
    wrong = np.sort(row[others])
    # an item that cannot be recommended stands below all others
    found = [row[each] if each >= 0 and free[each] else -np.inf for each in relevant]
    below = np.searchsorted(wrong, found, "left") + np.searchsorted(wrong, found, "right")
    return PER_CENT * float(below.mean() / 2 / max(1, len(wrong)))
