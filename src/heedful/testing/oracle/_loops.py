"""The loop that all oracles of a weighted sum share."""

from collections.abc import Callable, Iterable, Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sees = Callable[[int, int, int, int], bool]
Result = tuple[Array, Array]
Score = Callable[[int, int, int, int], float]
Normalise = Callable[[Sequence[float]], Sequence[float]]


def softmax(scores: Sequence[float]) -> list[float]:
    """`exp(s) / sum of exp(s)`, for the scores of the keys that one query sees."""
    largest = max(scores)
    total = sum(exp(s - largest) for s in scores)
    return [exp(s - largest) / total for s in scores]


def attend(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    score: Score,
    normalise: Normalise = softmax,
) -> Result:
    """Weights from the scores of the visible keys, and the weighted sum of their values.

    Args:
        query: Only its shape is looked at.
        key: Only its shape is looked at.
        value: What is summed.
        sees: Which query sees which key.
        score: `score(b, h, i, j)`.
        normalise: From the scores of the keys that one query sees, never none, to their weights.
    """
    batch, heads, queries = query.shape[:3]
    keys = key.shape[2]
    weights = np.zeros((batch, heads, queries, keys))
    output = np.zeros((batch, heads, queries, value.shape[3]))
    for b, h, i in np.ndindex(batch, heads, queries):
        seen = [j for j in range(keys) if sees(b, h, i, j)]
        if not seen:
            continue
        given = normalise([score(b, h, i, j) for j in seen])
        for j, weight in zip(seen, given, strict=True):
            weights[b, h, i, j] = weight
            for d in range(value.shape[3]):
                output[b, h, i, d] += weight * value[b, kv_head(query, key, h), j, d]
    return weights, output


def kv_head(query: Array, key: Array, head: int) -> int:
    """Which key/value head a query head uses: neighbours share one."""
    return head // (query.shape[1] // key.shape[1])


def product(a: Iterable[float], b: Iterable[float]) -> float:
    """`a . b`."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += float(x) * float(y)
    return total
