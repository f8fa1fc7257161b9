"""The oracle of co-attention: two texts that look at each other, and layers in plain loops.

`there(b, t)` says whether position `t` of the context exists, `asked(b, j)` whether position `j` of
the query does. What does not exist is passed over.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, sqrt, tanh

import numpy as np

from heedful.testing.oracle._loops import Array, Sees, attend, product, softmax

Exists = Callable[[int, int], bool]
Parameters = Mapping[str, Array]


def bidaf(
    context: Array, query: Array, there: Exists, asked: Exists, *, score_weight: Array
) -> tuple[Array, Array, Array]:
    """Output, weights over the query and weights over the context of bidirectional attention."""
    batch, contexts, width = context.shape
    queries = query.shape[1]
    output = np.zeros((batch, contexts, 4 * width))
    query_weights = np.zeros((batch, contexts, queries))
    context_weights = np.zeros((batch, contexts))
    for b in range(batch):
        here = [t for t in range(contexts) if there(b, t)]
        words = [j for j in range(queries) if asked(b, j)]
        best: list[float] = []
        for t in here:
            scores: list[float] = []
            for j in words:
                joined = [*context[b, t], *query[b, j], *(context[b, t] * query[b, j])]
                scores.append(product(score_weight.reshape(-1), joined))
            if scores:
                query_weights[b, t, words] = softmax(scores)
                best.append(max(scores))
        if best:
            context_weights[b, here] = softmax(best)
        most = _sum(context[b], context_weights[b])
        for t in here:
            h, seen = context[b, t], _sum(query[b], query_weights[b, t])
            output[b, t] = [*h, *seen, *(h * seen), *(h * most)]
    return output, query_weights, context_weights


def parallel(
    context: Array,
    query: Array,
    there: Exists,
    asked: Exists,
    *,
    affinity_weight: Array,
    context_weight: Array,
    query_weight: Array,
    score_weight: Array,
) -> tuple[Array, Array, Array, Array]:
    """Both sums and both weights of parallel co-attention."""
    results: list[tuple[Array, Array, Array, Array]] = []
    for b in range(len(context)):
        here = [t for t in range(context.shape[1]) if there(b, t)]
        words = [j for j in range(query.shape[1]) if asked(b, j)]

        def affinity(t: int, j: int, b: int = b) -> float:
            row = [product(weights, context[b, t]) for weights in affinity_weight]
            return tanh(product(query[b, j], row))

        def project(weight: Array, text: Array, i: int, b: int = b) -> list[float]:
            return [product(row, text[b, i]) for row in weight]

        scores: list[float] = []
        for t in here:
            hidden = project(context_weight, context, t)
            for j in words:
                for k, value in enumerate(project(query_weight, query, j)):
                    hidden[k] += value * affinity(t, j)
            scores.append(product(score_weight[0], [tanh(x) for x in hidden]))
        context_weights = _weights(scores, here, context.shape[1])
        scores = []
        for j in words:
            hidden = project(query_weight, query, j)
            for t in here:
                for k, value in enumerate(project(context_weight, context, t)):
                    hidden[k] += value * affinity(t, j)
            scores.append(product(score_weight[1], [tanh(x) for x in hidden]))
        query_weights = _weights(scores, words, query.shape[1])
        sums = _sum(context[b], context_weights), _sum(query[b], query_weights)
        results.append((*sums, context_weights, query_weights))
    return _stack(results)


def alternating(
    context: Array, query: Array, there: Exists, asked: Exists, *, steps: Sequence[Parameters]
) -> tuple[Array, Array, Array, Array]:
    """Both sums and both weights of alternating co-attention.

    Each of the three steps has `weight` and `score`, the second and the third also `guide`.
    """
    results: list[tuple[Array, Array, Array, Array]] = []
    for b in range(len(context)):

        def look(
            text: Array, exists: Exists, step: Parameters, guide: Array | None, b: int = b
        ) -> tuple[Array, Array]:
            scores: list[float] = []
            seen = [i for i in range(text.shape[1]) if exists(b, i)]
            for i in seen:
                total = 0.0
                for k, row in enumerate(step["weight"]):
                    inner = product(row, text[b, i])
                    if guide is not None:
                        inner += product(step["guide"][k], guide)
                    total += step["score"][k] * tanh(inner)
                scores.append(total)
            weights = _weights(scores, seen, text.shape[1])
            return _sum(text[b], weights), weights

        start, _ = look(query, asked, steps[0], None)
        context_sum, context_weights = look(context, there, steps[1], start)
        query_sum, query_weights = look(query, asked, steps[2], context_sum)
        results.append((context_sum, query_sum, context_weights, query_weights))
    return _stack(results)


def cross_modal(
    first: Array,
    second: Array,
    first_sees: Sees,
    second_sees: Sees,
    *,
    parameters: Parameters,
    heads: int,
    norm: str,
) -> tuple[Array, Array, Array, Array]:
    """Both streams after one layer, and the weights of both attentions."""

    def normal(name: str, x: Array) -> Array:
        return layer_norm(x, parameters, f"{name}.norm")

    def wrap(name: str, x: Array, change: Callable[[Array], Array]) -> Array:
        return x + change(normal(name, x)) if norm == "pre" else normal(name, x + change(x))

    def layer(name: str, other: str, x: Array, y: Array, sees: Sees) -> tuple[Array, Array]:
        seen = normal(f"{other}_residual", y) if norm == "pre" else y
        weights: list[Array] = []

        def look(z: Array) -> Array:
            mixed, given = multi_head(z, seen, sees, parameters, f"{name}_attention", heads)
            weights.append(given)
            return mixed

        def feed(z: Array) -> Array:
            hidden = linear(z, parameters, f"{name}_feedforward.inner")
            return linear(np.maximum(hidden, 0), parameters, f"{name}_feedforward.outer")

        x = wrap(f"{name}_residual", x, look)
        return wrap(f"{name}_feedforward_residual", x, feed), weights[0]

    new_first, first_weights = layer("first", "second", first, second, first_sees)
    new_second, second_weights = layer("second", "first", second, first, second_sees)
    return new_first, new_second, first_weights, second_weights


# ---- layers in loops -----------------------------------------------------------------------------


def multi_head(
    x: Array, y: Array, sees: Sees, parameters: Parameters, name: str, heads: int
) -> tuple[Array, Array]:
    """Scaled dot-product attention of `x` to `y` with its projections, and its weights."""

    def split(z: Array, part: str) -> Array:
        z = linear(z, parameters, f"{name}.{part}")
        dim = z.shape[2] // heads
        return np.stack([z[:, :, h * dim : (h + 1) * dim] for h in range(heads)], axis=1)

    query, key, value = split(x, "query"), split(y, "key"), split(y, "value")

    def score(b: int, h: int, i: int, j: int) -> float:
        return product(query[b, h, i], key[b, h, j]) / sqrt(query.shape[3])

    weights, mixed = attend(query, key, value, sees, score)
    joined = np.concatenate([mixed[:, h] for h in range(heads)], axis=2)
    return linear(joined, parameters, f"{name}.out"), weights


def linear(x: Array, parameters: Parameters, name: str) -> Array:
    """`W x + b` at every position, with `name.weight` and, where it is there, `name.bias`."""
    weight = parameters[f"{name}.weight"]
    bias = parameters.get(f"{name}.bias", np.zeros(len(weight)))
    output = np.zeros((*x.shape[:-1], len(weight)))
    for place in np.ndindex(*x.shape[:-1]):
        for k, row in enumerate(weight):
            output[(*place, k)] = product(row, x[place]) + bias[k]
    return output


def layer_norm(x: Array, parameters: Parameters, name: str) -> Array:
    """Mean 0 and variance 1 at every position, then `name.weight` and `name.bias`."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    output = np.zeros(x.shape)
    for place in np.ndindex(*x.shape[:-1]):
        mean = sum(x[place]) / len(weight)
        variance = sum((z - mean) ** 2 for z in x[place]) / len(weight)
        output[place] = (x[place] - mean) / sqrt(variance + 1e-5) * weight + bias
    return output


def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`, number by number."""
    return np.array([1 / (1 + exp(-z)) for z in x.reshape(-1)]).reshape(x.shape)


def _weights(scores: Sequence[float], places: Sequence[int], length: int) -> Array:
    weights = np.zeros(length)
    if places:
        weights[list(places)] = softmax(scores)
    return weights


def _sum(text: Array, weights: Array) -> Array:
    total = np.zeros(text.shape[1])
    for row, weight in zip(text, weights, strict=True):
        if weight:
            total = total + weight * row
    return total


def _stack(
    results: Sequence[tuple[Array, Array, Array, Array]],
) -> tuple[Array, Array, Array, Array]:
    first, second, third, fourth = (np.stack(rows) for rows in zip(*results, strict=True))
    return first, second, third, fourth
