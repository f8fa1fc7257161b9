"""The oracle of scores with parameters of their own, and of scores that forget lengths."""

from math import sqrt, tanh

from heedful.testing.oracle._loops import Array, Result, Sees, attend, kv_head, product


def concat(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    query_weight: Array,
    key_weight: Array,
    score_weight: Array,
) -> Result:
    """`v . tanh(W [query; key])`, with the pair written side by side."""

    def score(b: int, h: int, i: int, j: int) -> float:
        pair = [*query[b, h, i], *key[b, kv_head(query, key, h), j]]
        total = 0.0
        for n in range(score_weight.shape[1]):
            row = [*query_weight[h, n], *key_weight[h, n]]
            total += score_weight[h, n] * tanh(product(row, pair))
        return total

    return attend(query, key, value, sees, score)


def cosine(query: Array, key: Array, value: Array, sees: Sees, *, scale: Array) -> Result:
    """`scale * cos(query, key)`; the cosine with a zero vector is 0."""

    def score(b: int, h: int, i: int, j: int) -> float:
        q, k = query[b, h, i], key[b, kv_head(query, key, h), j]
        lengths = sqrt(product(q, q)) * sqrt(product(k, k))
        return float(scale[h]) * product(q, k) / lengths if lengths else 0.0

    return attend(query, key, value, sees, score)
