"""The oracle of what reaches only so far: windows, neighbourhoods, spans, distances."""

from math import exp, sqrt

import numpy as np

from heedful.testing.oracle._loops import Array, Result, Sees, attend, kv_head, product
from heedful.testing.oracle.scores import scaled_dot


def window(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    window: int,
    ahead: int = 0,
    sinks: int = 0,
    scale: float | None = None,
) -> Result:
    """`scaled_dot` over the last `window` keys, the next `ahead` and the first `sinks`."""
    late = key.shape[2] - query.shape[2]

    def near(b: int, h: int, i: int, j: int) -> bool:
        here = i + late
        met = {*range(here - window + 1, here + ahead + 1)}
        met |= {first for first in range(sinks) if first <= here + ahead}
        return j in met and sees(b, h, i, j)

    return scaled_dot(query, key, value, near, scale=scale)


def neighbourhood(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    scale: float | None = None,
) -> Result:
    """`scaled_dot` over the nearest `window` places of a grid, equally many at a border."""
    places = list(np.ndindex(*shape))

    def nearest(x: int, size: int, width: int) -> range:
        width = min(width, size)
        starts = range(size - width + 1)
        start = min(starts, key=lambda s: abs(s + width // 2 - x))
        return range(start, start + width)

    def near(b: int, h: int, i: int, j: int) -> bool:
        for x, y, size, width in zip(places[i], places[j], shape, window, strict=True):
            if y not in nearest(x, size, width):
                return False
        return sees(b, h, i, j)

    return scaled_dot(query, key, value, near, scale=scale)


def adaptive_span(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    span: Array,
    ramp: float,
    scale: float | None = None,
) -> Result:
    """`m(distance) * exp(score)` over its sum, with a ramp `m` that falls to 0 beyond the span."""
    batch, heads, queries, dim = query.shape
    keys = key.shape[2]
    factor = 1 / sqrt(dim) if scale is None else scale
    weights = np.zeros((batch, heads, queries, keys))
    output = np.zeros((batch, heads, queries, value.shape[3]))

    def amount(h: int, distance: int) -> float:
        if distance < 0:
            return 0.0
        return min(max((ramp + float(span[h]) - distance) / ramp, 0.0), 1.0)

    for b, h, i in np.ndindex(batch, heads, queries):
        shared = kv_head(query, key, h)
        given = [amount(h, i + keys - queries - j) for j in range(keys)]
        seen = [j for j in range(keys) if sees(b, h, i, j) and given[j] > 0]
        scores = {j: factor * product(query[b, h, i], key[b, shared, j]) for j in seen}
        terms = {j: given[j] * exp(scores[j] - max(scores.values())) for j in seen}
        for j in seen:
            weights[b, h, i, j] = terms[j] / sum(terms.values())
            for d in range(value.shape[3]):
                output[b, h, i, d] += weights[b, h, i, j] * value[b, shared, j, d]
    return weights, output


def transformer_xl(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    position: Array,
    content_bias: Array,
    position_bias: Array,
    scale: float | None = None,
) -> Result:
    """`(query + u) . key + (query + v) . position`; row 0 of `position` is the largest distance."""
    queries, keys = query.shape[2], key.shape[2]
    factor = 1 / sqrt(query.shape[3]) if scale is None else scale

    def score(b: int, h: int, i: int, j: int) -> float:
        distance = i + keys - queries - j
        content = product(query[b, h, i] + content_bias[h], key[b, kv_head(query, key, h), j])
        place = product(query[b, h, i] + position_bias[h], position[h, keys - 1 - distance])
        return factor * (content + place)

    return attend(query, key, value, sees, score)
