"""The oracle of what is cheaper than all pairs: few keys, landmarks, hashes, few dimensions."""

from math import sqrt

import numpy as np

from heedful.testing.oracle._loops import (
    Array,
    Result,
    Sees,
    attend,
    kv_head,
    product,
    softmax,
)
from heedful.testing.oracle.scores import scaled_dot


def linformer(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    key_projection: Array,
    value_projection: Array,
    scale: float | None = None,
) -> Result:
    """Exact attention to `rank` made-up keys and values, each a sum of real ones."""
    batch, heads, queries, dim = query.shape
    keys, value_dim = value.shape[2:]
    factor = 1 / sqrt(dim) if scale is None else scale
    weights = np.zeros((batch, heads, queries, keys))
    output = np.zeros((batch, heads, queries, value_dim))
    for b, h, i in np.ndindex(batch, heads, queries):
        g = kv_head(query, key, h)
        mix = key_projection[h % len(key_projection)]
        back = value_projection[h % len(value_projection)]
        seen = [j for j in range(keys) if sees(b, h, i, j)]
        slots = [r for r in range(len(mix)) if any(mix[r, j] != 0 for j in seen)]
        if not slots:
            continue
        made = {r: sum((mix[r, j] * key[b, g, j] for j in seen), np.zeros(dim)) for r in slots}
        given = softmax([factor * product(query[b, h, i], made[r]) for r in slots])
        for r, share in zip(slots, given, strict=True):
            for j in seen:
                weights[b, h, i, j] += share * back[r, j]
                output[b, h, i] += share * back[r, j] * value[b, g, j]
    return weights, output


def nystrom(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    landmarks: int,
    iterations: int = 6,
    convolution: Array | None = None,
    aligned: bool = False,
) -> Result:
    """Three softmaxes between queries, landmarks and keys, the middle one inverted."""
    batch, heads, queries, dim = query.shape
    keys, value_dim = value.shape[2:]
    weights = np.zeros((batch, heads, queries, keys))
    output = np.zeros((batch, heads, queries, value_dim))
    for b, h in np.ndindex(batch, heads):
        g = kv_head(query, key, h)
        seen = [j for j in range(keys) if sees(b, h, 0, j)]
        if not seen:
            continue
        looking = seen if aligned else list(range(queries))
        from_query = _means(query[b, h], looking, min(landmarks, queries))
        from_key = _means(key[b, g], seen, min(landmarks, keys))
        real = [key[b, g, j] for j in seen]
        first = _softmaxes(query[b, h], from_key, dim)
        middle = _inverse(_softmaxes(from_query, from_key, dim), iterations)
        whole = first @ middle @ _softmaxes(from_query, real, dim)
        for i in range(queries):
            for place, j in enumerate(seen):
                weights[b, h, i, j] = whole[i, place]
                if convolution is not None:
                    tap = j - i + convolution.shape[1] // 2
                    if 0 <= tap < convolution.shape[1]:
                        weights[b, h, i, j] += convolution[h, tap]
                output[b, h, i] += weights[b, h, i, j] * value[b, g, j]
    return weights, output


def _means(rows: Array, chosen: list[int], landmarks: int) -> list[Array]:
    """The means of the segments that are not empty."""
    segments: dict[int, list[Array]] = {}
    for rank, j in enumerate(chosen):
        segments.setdefault(rank * landmarks // len(chosen), []).append(rows[j])
    return [np.mean(segments[s], axis=0) for s in sorted(segments)]


def _softmaxes(rows: "Array | list[Array]", columns: list[Array], dim: int) -> Array:
    return np.array([softmax([product(x, y) / sqrt(dim) for y in columns]) for x in rows])


def _inverse(matrix: Array, iterations: int) -> Array:
    """The iteration on one singular value at a time: it never turns the vectors."""
    u, sizes, vh = np.linalg.svd(matrix, full_matrices=False)
    start = 1 / (max(matrix.sum(0)) * max(matrix.sum(1)))
    inverted = np.zeros(len(sizes))
    for n, size in enumerate(sizes):
        z = size * start
        for _ in range(iterations):
            z = z * (13 - size * z * (15 - size * z * (7 - size * z))) / 4
        inverted[n] = z
    return vh.T @ np.diag(inverted) @ u.T


def low_rank(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    query_projection: Array,
    key_projection: Array,
    scale: float | None = None,
) -> Result:
    """`scale * (query A) . (key B)`."""
    dim, rank = query_projection.shape[1:]
    factor = 1 / sqrt(dim) if scale is None else scale

    def score(b: int, h: int, i: int, j: int) -> float:
        row = key[b, kv_head(query, key, h), j]
        small_query = [product(query[b, h, i], query_projection[h, :, r]) for r in range(rank)]
        small_key = [product(row, key_projection[h, :, r]) for r in range(rank)]
        return factor * product(small_query, small_key)

    return attend(query, key, value, sees, score)


def reformer(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    rotations: Array,
    chunk: int,
    aligned: bool = False,
    scale: float | None = None,
) -> Result:
    """`scaled_dot` over the keys that share a chunk with a query, or stand in the one before it."""
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    met: set[tuple[int, int, int, int]] = set()
    for b, h in np.ndindex(batch, heads):
        seen = [j for j in range(keys) if any(sees(b, h, i, j) for i in range(queries))]
        asked = seen if aligned else list(range(queries))
        unseen = [j for j in range(keys) if j not in seen]
        unasked = [i for i in range(queries) if i not in asked]
        for rotation in rotations:
            keys_sorted, key_buckets = _by_bucket(key[b, kv_head(query, key, h)], seen, rotation)
            queries_sorted, query_buckets = _by_bucket(query[b, h], asked, rotation)
            line = keys_sorted + unseen
            for start in range(0, queries, chunk):
                group = (queries_sorted + unasked)[start : start + chunk]
                last = min(start + chunk, len(asked)) - 1
                bucket = query_buckets[last] if asked else -1
                here = _place(bucket, last, query_buckets, key_buckets) // chunk
                for i in group:
                    met |= {(b, h, i, j) for j in line[max(here - 1, 0) * chunk : here * chunk]}
                    met |= {(b, h, i, j) for j in line[here * chunk : (here + 1) * chunk]}

    def near(b: int, h: int, i: int, j: int) -> bool:
        return (b, h, i, j) in met and sees(b, h, i, j)

    return scaled_dot(query, key, value, near, scale=scale)


def _by_bucket(rows: Array, chosen: list[int], rotation: Array) -> tuple[list[int], list[int]]:
    """The chosen rows in the order of their buckets, and these buckets."""

    def bucket(j: int) -> int:
        turned = [product(rows[j], column) for column in rotation.T]
        both = turned + [-x for x in turned]
        return both.index(max(both))

    order = sorted(chosen, key=bucket)
    return order, [bucket(j) for j in order]


def _place(bucket: int, last: int, query_buckets: list[int], key_buckets: list[int]) -> int:
    """Where among the sorted keys the query that is `last` would stand."""
    below = sum(other < bucket for other in key_buckets)
    inside = key_buckets.count(bucket)
    if inside:
        asked = query_buckets.count(bucket)
        below += (last - query_buckets.index(bucket)) * inside // asked
    return max(0, min(below, len(key_buckets) - 1))
