"""The oracle of what makes weights of dot products in another way than softmax."""

from collections.abc import Callable, Sequence
from math import exp, log, sqrt

import numpy as np

from heedful.testing.oracle._loops import (
    Array,
    Normalise,
    Result,
    Sees,
    attend,
    kv_head,
    product,
    softmax,
)


def entmax(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    alpha: float | Array = 1.5,
    scale: float | None = None,
) -> Result:
    """`relu((alpha - 1) s - tau)^(1 / (alpha - 1))`, with the `tau` that makes them sum to one."""

    def of_head(h: int) -> Normalise:
        own = float(alpha[h]) if isinstance(alpha, np.ndarray) else alpha
        return softmax if own == 1 else lambda scores: _entmax(scores, own)

    return _by_head(query, key, value, sees, scale, of_head)


def sparsemax(
    query: Array, key: Array, value: Array, sees: Sees, *, scale: float | None = None
) -> Result:
    """`relu(s - tau)`, with the `tau` that makes them sum to one."""
    return _by_head(query, key, value, sees, scale, lambda h: lambda scores: _entmax(scores, 2))


def sigmoid(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    bias: float | Array | None = None,
    scale: float | None = None,
) -> Result:
    """`1 / (1 + exp(-s - bias))`; the bias is `-log n` for `n` visible keys unless given."""

    def of_head(h: int) -> Normalise:
        def normalise(scores: Sequence[float]) -> list[float]:
            if bias is None:
                added = -log(len(scores))
            else:
                added = float(bias[h]) if isinstance(bias, np.ndarray) else bias
            return [_logistic(s + added) for s in scores]

        return normalise

    return _by_head(query, key, value, sees, scale, of_head)


def top_k(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    kept: int,
    straight_through: bool = False,
    scale: float | None = None,
) -> Result:
    """Softmax over the `kept` largest; `straight_through` is about gradients only."""

    def normalise(scores: Sequence[float]) -> list[float]:
        chosen: list[int] = []
        while len(chosen) < min(kept, len(scores)):
            rest = [j for j in range(len(scores)) if j not in chosen]
            chosen.append(max(rest, key=lambda j: (scores[j], -j)))
        shares = dict(zip(chosen, softmax([scores[j] for j in chosen]), strict=True))
        return [shares.get(j, 0.0) for j in range(len(scores))]

    return _by_head(query, key, value, sees, scale, lambda h: normalise)


def sink(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    sink: Array | None = None,
    scale: float | None = None,
) -> Result:
    """Softmax over the scores and one more, the sink's, whose weight is left out."""

    def of_head(h: int) -> Normalise:
        own = 0.0 if sink is None else float(sink[h])
        return lambda scores: softmax([*scores, own])[:-1]

    return _by_head(query, key, value, sees, scale, of_head)


def scalable(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    strength: Array,
    scale: float | None = None,
) -> Result:
    """`n^(strength s) / sum n^(strength s)`, for `n` visible keys."""

    def of_head(h: int) -> Normalise:
        def normalise(scores: Sequence[float]) -> list[float]:
            powers = [float(len(scores)) ** (strength[h] * s) for s in scores]
            return [power / sum(powers) for power in powers]

        return normalise

    return _by_head(query, key, value, sees, scale, of_head)


def temperature(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    *,
    coefficients: Sequence[float] = (-0.037, 0.481, -2.3, 4.917, -1.791),
    least_entropy: float = 0.5,
    scale: float | None = None,
) -> Result:
    """`softmax(beta s)`; `beta` is a polynomial of the entropy of `softmax(s)`, at least 1."""

    def normalise(scores: Sequence[float]) -> list[float]:
        entropy = -sum(p * log(p) for p in softmax(scores) if p > 0)
        highest = len(coefficients) - 1
        fitted = sum(c * entropy ** (highest - i) for i, c in enumerate(coefficients))
        beta = max(fitted, 1.0) if entropy > least_entropy else 1.0
        return softmax([beta * s for s in scores])

    return _by_head(query, key, value, sees, scale, lambda h: normalise)


def _by_head(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    scale: float | None,
    of_head: Callable[[int], Normalise],
) -> Result:
    """Scaled dot products, and for each head its own way to normalise them."""
    factor = 1 / sqrt(query.shape[3]) if scale is None else scale
    results: list[Result] = []
    for h in range(query.shape[1]):
        shared = kv_head(query, key, h)
        own = query[:, h : h + 1], key[:, shared : shared + 1], value[:, shared : shared + 1]
        results.append(_one_head(*own, sees, factor, h, of_head(h)))
    weights, outputs = zip(*results, strict=True)
    return np.concatenate(weights, 1), np.concatenate(outputs, 1)


def _one_head(
    query: Array,
    key: Array,
    value: Array,
    sees: Sees,
    factor: float,
    head: int,
    normalise: Normalise,
) -> Result:
    def score(b: int, h: int, i: int, j: int) -> float:
        return factor * product(query[b, 0, i], key[b, 0, j])

    def sees_here(b: int, h: int, i: int, j: int) -> bool:
        return sees(b, head, i, j)

    return attend(query, key, value, sees_here, score, normalise)


def _entmax(scores: Sequence[float], alpha: float) -> list[float]:
    """Halve the interval in which `tau` lies until nothing is left of it."""
    scaled = [(alpha - 1) * s for s in scores]

    def above(tau: float) -> list[float]:
        return [max(s - tau, 0.0) ** (1 / (alpha - 1)) for s in scaled]

    low, high = max(scaled) - 1, max(scaled)
    for _ in range(200):
        tau = (low + high) / 2
        low, high = (tau, high) if sum(above(tau)) >= 1 else (low, tau)
    total = sum(above(low))
    return [weight / total for weight in above(low)]


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))
