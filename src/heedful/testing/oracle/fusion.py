"""The oracle of what puts attention and its neighbours together."""

from collections.abc import Callable

import numpy as np

from heedful.testing.oracle._loops import Array, Result, Sees, attend, kv_head
from heedful.testing.oracle.co import Exists, Parameters, layer_norm, linear, multi_head, sigmoid
from heedful.testing.oracle.scores import scaled_dot


def conv_value(query: Array, key: Array, value: Array, sees: Sees, *, taps: Array) -> Result:
    """Scaled dot-product attention, and the values around each query, of those that it sees."""
    weights, output = scaled_dot(query, key, value, sees)
    batch, heads, queries, keys = weights.shape
    half = taps.shape[1] // 2
    for b, h, i in np.ndindex(batch, heads, queries):
        for s in range(taps.shape[1]):
            j = i + keys - queries + s - half
            if 0 <= j < keys and sees(b, h, i, j):
                weights[b, h, i, j] += taps[h, s]
                output[b, h, i] += taps[h, s] * value[b, kv_head(query, key, h), j]
    return weights, output


def conformer(
    x: Array, sees: Sees, exists: Exists, *, parameters: Parameters, heads: int, causal: bool
) -> tuple[Array, Array]:
    """A Conformer block whose attention knows no positions, and its weights."""

    def half(name: str, y: Array) -> Array:
        inner = linear(layer_norm(y, parameters, f"{name}.0"), parameters, f"{name}.1")
        return linear(_silu(inner), parameters, f"{name}.4") / 2

    def convolve(y: Array) -> Array:
        inner = linear(y, parameters, "convolution.inner")
        width = y.shape[2]
        gated = inner[:, :, :width] * sigmoid(inner[:, :, width:])
        kernel = parameters["convolution.depthwise.weight"][:, 0]
        size = kernel.shape[1]
        ahead = 0 if causal else size // 2
        mixed = np.zeros(y.shape)
        for b, t, d in np.ndindex(*y.shape):
            mixed[b, t, d] = parameters["convolution.depthwise.bias"][d]
            for s in range(size):
                source = t + s - (size - 1 - ahead)
                if 0 <= source < y.shape[1] and exists(b, source):
                    mixed[b, t, d] += kernel[d, s] * gated[b, source, d]
        normal = layer_norm(mixed, parameters, "convolution.norm")
        return linear(_silu(normal), parameters, "convolution.out")

    x = x + half("first_half", x)
    normal = layer_norm(x, parameters, "attention_residual.norm")
    mixed, weights = multi_head(normal, normal, sees, parameters, "attention", heads)
    x = x + mixed
    x = x + convolve(layer_norm(x, parameters, "convolution_residual.norm"))
    return layer_norm(x + half("second_half", x), parameters, "norm"), weights


def damped_ema(
    x: Array, exists: Exists, *, alpha: Array, delta: Array, beta: Array, eta: Array
) -> Array:
    """`h_t = alpha beta x_t + (1 - alpha delta) h_(t - 1)`, `y_t = eta . h_t`, step by step."""
    batch, length, width = x.shape
    output = np.zeros(x.shape)
    for b, d, n in np.ndindex(batch, width, alpha.shape[1]):
        held = 0.0
        for t in range(length):
            held *= 1 - alpha[d, n] * delta[d, n]
            if exists(b, t):
                held += alpha[d, n] * beta[d, n] * x[b, t, d]
            output[b, t, d] += eta[d, n] * held
    return output


def gated_ema(
    x: Array, sees: Sees, exists: Exists, *, parameters: Parameters, causal: bool
) -> tuple[Array, Array]:
    """Mega's gated attention without positions, and its weights."""

    def average(name: str, y: Array, there: Exists) -> Array:
        raw = {part: parameters[f"{name}.{part}"] for part in ("alpha", "delta", "beta", "eta")}
        alpha, delta = sigmoid(raw["alpha"]), sigmoid(raw["delta"])
        return damped_ema(y, there, alpha=alpha, delta=delta, beta=raw["beta"], eta=raw["eta"])

    def apply(name: str, y: Array, change: Callable[[Array], Array]) -> Array:
        return change(linear(y, parameters, name))

    moved = average("forwards", x, exists)
    if not causal:
        last = x.shape[1] - 1
        moved = moved + average("backwards", x[:, ::-1], lambda b, t: exists(b, last - t))[:, ::-1]
    shared = apply("shared", moved, _silu)
    query, key = (shared * parameters["scale"][i] + parameters["shift"][i] for i in range(2))
    value = apply("value", x, _silu)[:, None]

    def score(b: int, h: int, i: int, j: int) -> float:
        return sum(query[b, i] * key[b, j]) / np.sqrt(len(query[b, i]))

    def allowed(b: int, h: int, i: int, j: int) -> bool:
        return sees(b, h, i, j) and (j <= i or not causal)

    weights, mixed = attend(query[:, None], key[:, None], value, allowed, score)
    reset, update = apply("reset", moved, _silu), apply("update", moved, sigmoid)
    inner = linear(moved, parameters, "candidate")
    candidate = _silu(inner + linear(reset * mixed[:, 0], parameters, "inner"))
    return update * candidate + (1 - update) * x, weights


def _silu(x: Array) -> Array:
    return x * sigmoid(x)
