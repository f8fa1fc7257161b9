"""The oracle of what weighs keys by products of positive features."""

from collections.abc import Callable, Sequence
from math import exp, sqrt

from heedful.testing.oracle._loops import (
    Array,
    Result,
    Sees,
    attend,
    kv_head,
    product,
    softmax,
)

# features(head, row)
FeatureMap = Callable[[int, Array], Sequence[float]]


def linear(query: Array, key: Array, value: Array, sees: Sees) -> Result:
    """Features `elu(x) + 1`."""

    def features(h: int, row: Array) -> list[float]:
        return [x + 1 if x > 0 else exp(x) for x in row.tolist()]

    return _weigh(query, key, value, sees, features, features)


def hedgehog(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    query_map: Array,
    key_map: Array,
) -> Result:
    """Features `softmax` of the mapped row and of its negative."""

    def of(learned: Array) -> FeatureMap:
        def features(h: int, row: Array) -> list[float]:
            mapped = [product(row, column) for column in learned[h].T]
            return softmax(mapped + [-x for x in mapped])

        return features

    return _weigh(query, key, value, sees, of(query_map), of(key_map))


def performer(query: Array, key: Array, value: Array, sees: Sees, *, projection: Array) -> Result:
    """Features `exp(w . y - |y|^2 / 2)` for each row `w`, with `y` the row over `dim^(1/4)`."""

    def features(h: int, row: Array) -> list[float]:
        scaled = row / sqrt(sqrt(len(row)))
        half = product(scaled, scaled) / 2
        return [exp(product(w, scaled) - half) for w in projection[h % len(projection)]]

    return _weigh(query, key, value, sees, features, features)


def _weigh(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    of_query: FeatureMap,
    of_key: FeatureMap,
) -> Result:
    """Every key gets its product of features, over the sum of all visible ones."""

    def score(b: int, h: int, i: int, j: int) -> float:
        row = key[b, kv_head(query, key, h), j]
        return product(of_query(h, query[b, h, i]), of_key(h, row))

    def shares(scores: Sequence[float]) -> list[float]:
        return [x / sum(scores) for x in scores]

    return attend(query, key, value, sees, score, shares)
