"""The oracle of attention on images, pixel by pixel.

Every function takes an image `(batch, channels, height, width)`, and `exists(b, i, j)`, which says
whether batch row `b` has a pixel in line `i` and column `j`. It returns `(weights, output)`; the
weights are a tuple of arrays. A linear map is `weight[to][from]`.
"""

from collections.abc import Callable, Sequence
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Exists = Callable[[int, int, int], bool]
Result = tuple[tuple[Array, ...], Array]
Place = tuple[int, int]


def squeeze_excitation(
    x: Array,
    exists: Exists,
    *,
    reduce_weight: Array,
    expand_weight: Array,
    reduce_bias: Array | None = None,
    expand_bias: Array | None = None,
) -> Result:
    """`x_c sigmoid(W_2 relu(W_1 mean))_c`."""
    gates, output = np.zeros(x.shape[:2]), np.zeros(x.shape)
    for b in range(len(x)):
        places = _places(x, exists, b)
        if not places:
            continue
        means = _means(x[b], places)
        hidden = [max(0.0, a) for a in _linear(reduce_weight, means, reduce_bias)]
        gates[b] = [_sigmoid(a) for a in _linear(expand_weight, hidden, expand_bias)]
        for i, j in places:
            output[b, :, i, j] = gates[b] * x[b, :, i, j]
    return (gates,), output


def eca(x: Array, exists: Exists, *, convolve_weight: Array) -> Result:
    """`x_c sigmoid(sum_k kernel_k mean_(c + k - size // 2))`."""
    gates, output = np.zeros(x.shape[:2]), np.zeros(x.shape)
    kernel = convolve_weight[0, 0]
    for b in range(len(x)):
        places = _places(x, exists, b)
        if not places:
            continue
        means = _means(x[b], places)
        for c in range(x.shape[1]):
            total = 0.0
            for k in range(len(kernel)):
                source = c + k - len(kernel) // 2
                if 0 <= source < x.shape[1]:
                    total += kernel[k] * means[source]
            gates[b, c] = _sigmoid(total)
        for i, j in places:
            output[b, :, i, j] = gates[b] * x[b, :, i, j]
    return (gates,), output


def cbam(
    x: Array,
    exists: Exists,
    *,
    reduce_weight: Array,
    expand_weight: Array,
    convolve_weight: Array,
    convolve_bias: Array,
    reduce_bias: Array | None = None,
    expand_bias: Array | None = None,
) -> Result:
    """A gate for each channel from means and maxima of pixels, then one for each pixel."""
    gates, spots = np.zeros(x.shape[:2]), np.zeros((len(x), *x.shape[2:]))
    output = np.zeros(x.shape)

    def perceptron(pooled: Sequence[float]) -> list[float]:
        hidden = [max(0.0, a) for a in _linear(reduce_weight, pooled, reduce_bias)]
        return _linear(expand_weight, hidden, expand_bias)

    for b in range(len(x)):
        places = _places(x, exists, b)
        if not places:
            continue
        largest = [max(float(x[b, c, i, j]) for i, j in places) for c in range(x.shape[1])]
        both = zip(perceptron(_means(x[b], places)), perceptron(largest), strict=True)
        gates[b] = [_sigmoid(mean + top) for mean, top in both]
        weighed = {(i, j): gates[b] * x[b, :, i, j] for i, j in places}
        pooled = {at: (sum(z) / len(z), max(z)) for at, z in weighed.items()}
        for i, j in places:
            total = float(convolve_bias[0])
            for layer, k, m in np.ndindex(convolve_weight.shape[1:]):
                at = (i + k - convolve_weight.shape[2] // 2, j + m - convolve_weight.shape[3] // 2)
                if at in pooled:
                    total += convolve_weight[0, layer, k, m] * pooled[at][layer]
            spots[b, i, j] = _sigmoid(total)
            output[b, :, i, j] = spots[b, i, j] * weighed[i, j]
    return (gates, spots), output


def non_local(
    x: Array,
    exists: Exists,
    *,
    affinity: str = "embedded_gaussian",
    window: int = 1,
    **parameters: Array,
) -> Result:
    """`x_i + out(sum_j w_ij value_j)` with keys and values that are maxima of windows."""
    height, width = x.shape[2:]
    columns = -(-width // window)
    maps = {
        name: (parameters.get(f"{name}_weight"), parameters.get(f"{name}_bias"))
        for name in ("query", "key", "value", "out")
    }
    weights = np.zeros((len(x), height * width, -(-height // window) * columns))
    output = np.zeros(x.shape)
    for b in range(len(x)):
        groups: dict[Place, list[Place]] = {}
        for i, j in _places(x, exists, b):
            groups.setdefault((i // window, j // window), []).append((i, j))
        keys = _window_maxima(x[b], groups, *maps["key"])
        values = _window_maxima(x[b], groups, *maps["value"])
        for i, j in _places(x, exists, b):
            query = _linear(maps["query"][0], x[b, :, i, j], maps["query"][1])
            scores = [_product(query, keys[at]) for at in groups]
            given = [s / len(scores) for s in scores] if affinity == "dot" else _softmax(scores)
            mixed = np.zeros(len(parameters["value_bias"]))
            for at, weight in zip(groups, given, strict=True):
                weights[b, i * width + j, at[0] * columns + at[1]] = weight
                mixed += weight * np.array(values[at])
            added = np.array(_linear(maps["out"][0], mixed, maps["out"][1]))
            output[b, :, i, j] = x[b, :, i, j] + added
    return (weights,), output


def sagan(
    x: Array,
    exists: Exists,
    *,
    query_weight: Array,
    key_weight: Array,
    value_weight: Array,
    out_weight: Array,
    gamma: Array,
) -> Result:
    """`x_i + gamma out(sum_j softmax_j(query_i . key_j) value_j)`."""
    height, width = x.shape[2:]
    weights = np.zeros((len(x), height * width, height * width))
    output = np.zeros(x.shape)
    for b in range(len(x)):
        places = _places(x, exists, b)
        for i, j in places:
            query = _linear(query_weight, x[b, :, i, j])
            given = _softmax(
                [_product(query, _linear(key_weight, x[b, :, k, m])) for k, m in places]
            )
            mixed = np.zeros(len(value_weight))
            for (k, m), weight in zip(places, given, strict=True):
                weights[b, i * width + j, k * width + m] = weight
                mixed += weight * np.array(_linear(value_weight, x[b, :, k, m]))
            added = np.array(_linear(out_weight, mixed))
            output[b, :, i, j] = x[b, :, i, j] + gamma[0] * added
    return (weights,), output


def axial(x: Array, exists: Exists, *, heads: int, **parameters: Array) -> Result:
    """Multi-head attention within each column, then within each row; neither adds its input."""
    batch, _, height, width = x.shape
    down = np.zeros((batch, width, heads, height, height))
    across = np.zeros((batch, height, heads, width, width))
    middle, output = np.zeros(x.shape), np.zeros(x.shape)
    maps = {
        way: {
            name: (parameters[f"{way}_{name}_weight"], parameters[f"{way}_{name}_bias"])
            for name in ("query", "key", "value", "out")
        }
        for way in ("along_height", "along_width")
    }
    for b in range(batch):
        for j in range(width):
            there = [i for i in range(height) if exists(b, i, j)]
            line = {i: x[b, :, i, j] for i in there}
            for i, mixed in _multi_head(line, maps["along_height"], down[b, j]).items():
                middle[b, :, i, j] = mixed
        for i in range(height):
            there = [j for j in range(width) if exists(b, i, j)]
            line = {j: middle[b, :, i, j] for j in there}
            for j, mixed in _multi_head(line, maps["along_width"], across[b, i]).items():
                output[b, :, i, j] = mixed
    return (down, across), output


def _multi_head(line: dict[int, Array], maps: dict[str, Any], weights: Array) -> dict[int, Any]:
    """One line of pixels by their places; `weights` is filled in."""
    query, key, value = (
        {at: _linear(maps[name][0], pixel, maps[name][1]) for at, pixel in line.items()}
        for name in ("query", "key", "value")
    )
    mixed = {at: np.zeros(len(maps["out"][1])) for at in line}
    heads = len(weights)
    for h in range(heads):
        for at in line:
            part = slice(h * len(query[at]) // heads, (h + 1) * len(query[at]) // heads)
            root = (len(query[at]) / heads) ** 0.5
            given = _softmax([_product(query[at][part], key[to][part]) / root for to in line])
            for to, weight in zip(line, given, strict=True):
                weights[h, at, to] = weight
                mixed[at][part] += weight * np.array(value[to][part])
    return {at: _linear(maps["out"][0], mixed[at], maps["out"][1]) for at in line}


def _window_maxima(
    x: Array, groups: dict[Place, list[Place]], weight: Array | None, bias: Array | None
) -> dict[Place, list[float]]:
    """For each window the largest of every projected number."""
    maxima: dict[Place, list[float]] = {}
    for at, places in groups.items():
        projected = [_linear(weight, x[:, i, j], bias) for i, j in places]
        maxima[at] = [max(numbers) for numbers in zip(*projected, strict=True)]
    return maxima


def _places(x: Array, exists: Exists, b: int) -> list[Place]:
    """The pixels that exist, line by line."""
    height, width = x.shape[2:]
    return [(i, j) for i in range(height) for j in range(width) if exists(b, i, j)]


def _means(x: Array, places: list[Place]) -> list[float]:
    return [sum(float(layer[i, j]) for i, j in places) / len(places) for layer in x]


def _linear(
    weight: Array | None, vector: Sequence[float] | Array, bias: Array | None = None
) -> list[float]:
    """`weight vector + bias`; no weight is the identity."""
    if weight is None:
        return [float(a) for a in vector]
    given = [_product(row, vector) for row in weight]
    return given if bias is None else [a + float(c) for a, c in zip(given, bias, strict=True)]


def _product(a: Sequence[float] | Array, b: Sequence[float] | Array) -> float:
    return sum(float(p) * float(q) for p, q in zip(a, b, strict=True))


def _softmax(scores: Sequence[float]) -> list[float]:
    largest = max(scores)
    total = sum(exp(s - largest) for s in scores)
    return [exp(s - largest) / total for s in scores]


def _sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))
