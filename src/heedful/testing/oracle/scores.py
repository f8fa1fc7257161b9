"""The oracle of what scores: how well a key fits a query."""

from math import sqrt, tanh

from heedful.testing.oracle._loops import Array, Result, Sees, attend, kv_head, product


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
        return factor * product(query[b, h, i], key[b, kv_head(query, key, h), j]) + extra

    return attend(query, key, value, sees, score)


def dot(query: Array, key: Array, value: Array, sees: Sees) -> Result:
    """`query . key`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        return product(query[b, h, i], key[b, kv_head(query, key, h), j])

    return attend(query, key, value, sees, score)


def general(query: Array, key: Array, value: Array, sees: Sees, *, weight: Array) -> Result:
    """`query . W key`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        projected = [product(row, key[b, kv_head(query, key, h), j]) for row in weight[h]]
        return product(query[b, h, i], projected)

    return attend(query, key, value, sees, score)


def additive(query: Array, key: Array, value: Array, sees: Sees, *, score_weight: Array) -> Result:
    """`v . tanh(query + key)`."""

    def score(b: int, h: int, i: int, j: int) -> float:
        total = 0.0
        for d in range(query.shape[3]):
            total += score_weight[h, d] * tanh(
                query[b, h, i, d] + key[b, kv_head(query, key, h), j, d]
            )
        return total

    return attend(query, key, value, sees, score)


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
            inner = query[b, h, i, d] + key[b, kv_head(query, key, h), j, d]
            inner += coverage_weight[h, d] * coverage[b, h, j]
            total += score_weight[h, d] * tanh(inner)
        return total

    return attend(query, key, value, sees, score)


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
            inner = query[b, h, i, d] + key[b, kv_head(query, key, h), j, d]
            for f in range(filters):
                inner += location_weight[h, f, d] * features[f]
            total += score_weight[h, d] * tanh(inner)
        return total

    return attend(query, key, value, sees, score)
