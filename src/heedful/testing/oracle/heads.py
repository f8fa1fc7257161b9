"""The oracle of heads that are more than one map of weights."""

from math import sqrt

import numpy as np

from heedful.testing.oracle._loops import Array, Result, Sees, attend, kv_head, product, softmax


def talking_heads(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    score_mix: Array,
    weight_mix: Array,
    scale: float | None = None,
) -> Result:
    """Scores of all heads are mixed, each mix becomes weights, and those are mixed again."""
    heads = query.shape[1]
    factor = 1 / sqrt(query.shape[3]) if scale is None else scale

    def score(b: int, h: int, i: int, j: int) -> float:
        return factor * product(query[b, h, i], key[b, kv_head(query, key, h), j])

    weights = np.zeros((*query.shape[:3], key.shape[2]))
    for b, i in np.ndindex(query.shape[0], query.shape[2]):
        seen = [j for j in range(key.shape[2]) if sees(b, 0, i, j)]
        if not seen:
            continue
        alone: list[list[float]] = []
        for h in range(heads):
            mixed = [product(score_mix[h], [score(b, g, i, j) for g in range(heads)]) for j in seen]
            alone.append(softmax(mixed))
        for h in range(heads):
            for n, j in enumerate(seen):
                weights[b, h, i, j] = product(weight_mix[h], [alone[g][n] for g in range(heads)])
    return weights, _sum(query, key, value, weights)


def differential(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    subtracted: Array,
    scale: float | None = None,
) -> Result:
    """The weights of the first halves, less a share of those of the second halves."""
    half = query.shape[3] // 2
    factor = 1 / sqrt(half) if scale is None else scale

    def map_of(part: slice) -> Array:
        def score(b: int, h: int, i: int, j: int) -> float:
            return factor * product(query[b, h, i, part], key[b, kv_head(query, key, h), j, part])

        return attend(query, key, value, sees, score)[0]

    first, second = map_of(slice(half)), map_of(slice(half, None))
    weights = np.zeros_like(first)
    for b, h, i, j in np.ndindex(*first.shape):
        weights[b, h, i, j] = first[b, h, i, j] - subtracted[h] * second[b, h, i, j]
    return weights, _sum(query, key, value, weights)


def _sum(query: Array, key: Array, value: Array, weights: Array) -> Array:
    output = np.zeros((*weights.shape[:3], value.shape[3]))
    for b, h, i, j in np.ndindex(*weights.shape):
        for d in range(value.shape[3]):
            output[b, h, i, d] += weights[b, h, i, j] * value[b, kv_head(query, key, h), j, d]
    return output
