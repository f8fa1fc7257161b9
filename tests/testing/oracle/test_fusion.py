"""The oracle of attention and its neighbours against examples that can be done by hand."""

from math import exp

import numpy as np
import pytest

from heedful.testing.oracle import fusion


def everything(b, h, i, j):
    return True


def always(b, i):
    return True


def silu(x):
    return x / (1 + exp(-x))


def text(*numbers):
    """One batch row, width 1."""
    return np.array(numbers, dtype=np.float64).reshape(1, -1, 1)


def test_convolution_adds_the_neighbours_that_are_seen():
    x = text(1, 10, 100)[:, None]
    zero, taps = np.zeros((1, 1, 3, 1)), np.array([[2.0, 0.0, 3.0]])
    weights, output = fusion.conv_value(zero, zero, x, everything, taps=taps)
    np.testing.assert_allclose(output[0, 0, :, 0], [37 + 30, 37 + 302, 37 + 20])
    np.testing.assert_allclose(weights[0, 0, 1], [1 / 3 + 2, 1 / 3, 1 / 3 + 3])
    _, output = fusion.conv_value(zero, zero, x, lambda b, h, i, j: j <= i, taps=taps)
    np.testing.assert_allclose(output[0, 0, :, 0], [1, 5.5 + 2, 37 + 20])
    _, output = fusion.conv_value(zero[:, :, :1], zero, x, everything, taps=taps)
    np.testing.assert_allclose(output[0, 0, :, 0], [37 + 20])  # the one query stands at the end


def test_average_by_hand():
    # alpha 0.5, delta 0.5: h = 0.5 * 2 x + 0.75 h; twice, with eta 1 and -0.5
    given = {"alpha": 0.5, "delta": 0.5}
    given = {name: np.full((1, 2), value) for name, value in given.items()}
    given |= {"beta": np.array([[2.0, 4.0]]), "eta": np.array([[1.0, -0.25]])}
    output = fusion.damped_ema(text(4, 0, 8), always, **given)
    want = np.array([4, 3, 8 + 2.25]) * (1 - 0.5)
    np.testing.assert_allclose(output[0, :, 0], want)
    output = fusion.damped_ema(text(4, 9, 8), lambda b, t: t != 1, **given)
    np.testing.assert_allclose(output[0, :, 0], want)


def ema(name, alpha, eta):
    raw = {"alpha": np.log(alpha / (1 - alpha)), "delta": 0.0, "beta": 1.0, "eta": eta}
    return {f"{name}.{part}": np.full((1, 1), value) for part, value in raw.items()}


@pytest.mark.parametrize("causal", [True, False])
def test_gated_ema_by_hand(causal):
    # alpha 0.5, delta 0.5, eta 2: m = x_0, then x_1 + 0.75 x_0 (backwards eta 4: twice as much)
    one = np.ones((1, 1))
    parameters = ema("forwards", 0.5, 2.0) | ema("backwards", 0.5, 4.0)
    parameters |= {f"{name}.weight": 0 * one for name in ("shared", "update")}
    parameters |= {f"{name}.weight": one for name in ("value", "reset", "candidate", "inner")}
    parameters |= {"scale": np.ones((2, 1)), "shift": np.zeros((2, 1))}
    x = text(1, 2)
    output, weights = fusion.gated_ema(x, everything, always, parameters=parameters, causal=causal)
    moved = [1, 2.75] if causal else [1 + 2 * (1 + 1.5), 2.75 + 4]
    seen = [silu(1), (silu(1) + silu(2)) / 2] if causal else [(silu(1) + silu(2)) / 2] * 2
    assert weights[0, 0].tolist() == ([[1, 0], [0.5, 0.5]] if causal else [[0.5, 0.5]] * 2)
    for i in range(2):  # the update gate is one half
        candidate = silu(moved[i] + silu(moved[i]) * seen[i])
        np.testing.assert_allclose(output[0, i, 0], (candidate + x[0, i, 0]) / 2)


def test_conformer_by_hand():
    # Everything but the convolution is 0, and its norms make -1 and 1 of both components.
    sizes = {"first_half.1": (2, 2), "first_half.4": (2, 2)}
    sizes |= {name.replace("first", "second"): size for name, size in sizes.items()}
    sizes |= {f"attention.{part}": (2, 2) for part in ("query", "key", "value", "out")}
    parameters = {f"{name}.weight": np.zeros(size) for name, size in sizes.items()}
    for name in ("first_half.0", "second_half.0", "attention_residual.norm", "norm"):
        parameters |= {f"{name}.weight": np.ones(2), f"{name}.bias": np.zeros(2)}
    for name in ("convolution_residual.norm", "convolution.norm"):
        parameters |= {f"{name}.weight": np.ones(2), f"{name}.bias": np.zeros(2)}
    # glu with a gate of one half
    parameters["convolution.inner.weight"] = np.vstack([np.eye(2), np.zeros((2, 2))])
    parameters["convolution.depthwise.weight"] = np.array([[[1.0, 0, 0]], [[1.0, 0, 0]]])
    parameters["convolution.depthwise.bias"] = np.zeros(2)
    parameters["convolution.out.weight"] = np.array([[1.0, 0.0], [0.0, 0.0]])
    # Normed, the rows are (-1, 1), (1, -1) and (1, -1). What the convolution adds to the first
    # component of a row is silu(-1) or silu(1) of its source; only the former turns a row around.
    x = np.array([[[0.0, 2.0], [0.1, 0.0], [0.1, 0.0]]])
    # the first of three taps: the row before, or with causal the one before that
    for causal, signs in ((False, [-1, -1, 1]), (True, [-1, 1, -1])):
        output, weights = fusion.conformer(
            x, everything, always, parameters=parameters, heads=1, causal=causal
        )
        np.testing.assert_allclose(weights[0, 0], np.full((3, 3), 1 / 3))
        np.testing.assert_allclose(output[0], [[sign, -sign] for sign in signs], atol=1e-2)
    output, _ = fusion.conformer(
        x, everything, lambda b, t: t > 0, parameters=parameters, heads=1, causal=False
    )
    np.testing.assert_allclose(output[0], [[-1, 1], [1, -1], [1, -1]], atol=1e-2)
    for name in ("first_half", "second_half"):  # half of -0.16 leaves 0.1 above 0, all does not
        turned = parameters | {f"{name}.4.bias": np.array([-0.16, 0.0])}
        output, _ = fusion.conformer(
            x, everything, lambda b, t: False, parameters=turned, heads=1, causal=False
        )
        np.testing.assert_allclose(output[0, 1], [1, -1], atol=0.1)
