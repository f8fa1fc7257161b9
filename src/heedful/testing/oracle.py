"""What the mechanisms mean, spelled out: float64 loops in numpy that share no code with the ops.

Every function returns `(weights, output)`. `sees(b, h, i, j)` says whether, in batch row `b` and
head `h`, query `i` sees key `j`. Slow on purpose: nothing here is clever enough to be wrong.
"""

from collections.abc import Callable
from math import exp, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sees = Callable[[int, int, int, int], bool]
Result = tuple[Array, Array]


def scaled_dot(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    bias: Array | None = None,
    scale: float | None = None,
) -> Result:
    """`scale * query . key + bias`; the scale is `1 / sqrt(dim)` unless given."""
    factor = 1 / sqrt(query.shape[3]) if scale is None else scale

    def score(b: int, h: int, i: int, j: int) -> float:
        extra = 0.0 if bias is None else bias[b, h, i, j]
        return factor * _dot(query[b, h, i], key[b, _kv(query, key, h), j]) + extra

    return _attend(query, key, value, sees, score)


def dot(query: Array, key: Array, value: Array, sees: Sees) -> Result:
    """`query . key`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        return _dot(query[b, h, i], key[b, _kv(query, key, h), j])

    return _attend(query, key, value, sees, score)


def general(query: Array, key: Array, value: Array, sees: Sees, *, weight: Array) -> Result:
    """`query . W key`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        projected = [_dot(row, key[b, _kv(query, key, h), j]) for row in weight[h]]
        return _dot(query[b, h, i], np.array(projected))

    return _attend(query, key, value, sees, score)


def additive(query: Array, key: Array, value: Array, sees: Sees, *, score_weight: Array) -> Result:
    """`v . tanh(query + key)`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        total = 0.0
        for d in range(query.shape[3]):
            total += score_weight[h, d] * tanh(query[b, h, i, d] + key[b, _kv(query, key, h), j, d])
        return total

    return _attend(query, key, value, sees, score)


def coverage(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    coverage: Array,
    coverage_weight: Array,
    score_weight: Array,
) -> Result:
    """`v . tanh(query + key + w coverage)`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        total = 0.0
        for d in range(query.shape[3]):
            inner = query[b, h, i, d] + key[b, _kv(query, key, h), j, d]
            inner += coverage_weight[h, d] * coverage[b, h, j]
            total += score_weight[h, d] * tanh(inner)
        return total

    return _attend(query, key, value, sees, score)


def location(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    previous: Array,
    kernel: Array,
    location_weight: Array,
    score_weight: Array,
) -> Result:
    """`v . tanh(query + key + U f)`, `f_j = sum_s kernel_s previous_(j + s - size // 2)`."""
    filters, _, size = kernel.shape

    def feature(b: int, h: int, j: int, f: int) -> float:
        total = 0.0
        for s in range(size):
            source = j + s - size // 2
            if 0 <= source < previous.shape[2]:
                total += kernel[f, 0, s] * previous[b, h, source]
        return total

    def score(b: int, h: int, i: int, j: int) -> float:
        features = [feature(b, h, j, f) for f in range(filters)]
        total = 0.0
        for d in range(query.shape[3]):
            inner = query[b, h, i, d] + key[b, _kv(query, key, h), j, d]
            for f in range(filters):
                inner += location_weight[h, f, d] * features[f]
            total += score_weight[h, d] * tanh(inner)
        return total

    return _attend(query, key, value, sees, score)


def _attend(
    query: Array, key: Array, value: Array, sees: Sees, score: Callable[[int, int, int, int], float]
) -> Result:
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    weights = np.zeros((batch, heads, queries, keys))
    output = np.zeros((batch, heads, queries, value.shape[3]))
    for b, h, i in np.ndindex(batch, heads, queries):
        seen = [j for j in range(keys) if sees(b, h, i, j)]
        scores = [score(b, h, i, j) for j in seen]
        largest = max(scores, default=0.0)
        total = sum(exp(s - largest) for s in scores)
        for j, s in zip(seen, scores, strict=True):
            weights[b, h, i, j] = exp(s - largest) / total
            for d in range(value.shape[3]):
                output[b, h, i, d] += weights[b, h, i, j] * value[b, _kv(query, key, h), j, d]
    return weights, output


def _kv(query: Array, key: Array, head: int) -> int:
    """Which key/value head a query head uses: neighbours share one."""
    return head // (query.shape[1] // key.shape[1])


def _dot(a: Array, b: Array) -> float:
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += float(x) * float(y)
    return total
