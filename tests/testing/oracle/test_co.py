"""The oracle of co-attention against examples that can be done by hand."""

from math import exp, sqrt, tanh

import numpy as np
import pytest

from heedful.testing.oracle import co


def always(b, i):
    return True


def text(*numbers):
    """One batch row, width 1."""
    return np.array(numbers, dtype=np.float64).reshape(1, -1, 1)


def softmax(*scores):
    return [exp(s) / sum(exp(t) for t in scores) for s in scores]


def test_bidaf_by_hand():
    # S = h + 10 u + 100 h u with h = 0, 1 and u = 0, 0.1: rows (0, 1) and (1, 12).
    weight = np.array([[1.0], [10.0], [100.0]])
    output, over_query, over_context = co.bidaf(
        text(0, 1), text(0, 0.1), always, always, score_weight=weight
    )
    np.testing.assert_allclose(over_query[0], [softmax(0, 1), softmax(1, 12)], rtol=1e-14)
    np.testing.assert_allclose(over_context[0], softmax(1, 12), rtol=1e-14)
    seen, most = 0.1 * softmax(1, 12)[1], softmax(1, 12)[1]
    np.testing.assert_allclose(output[0, 0], [0, 0.1 * softmax(0, 1)[1], 0, 0], rtol=1e-14)
    np.testing.assert_allclose(output[0, 1], [1, seen, seen, most], rtol=1e-14)


def test_bidaf_passes_over_what_does_not_exist():
    weight = np.array([[1.0], [10.0], [100.0]])

    def first_only(b, i):
        return i == 0

    output, over_query, over_context = co.bidaf(
        text(1, 5), text(0.1, 7), first_only, first_only, score_weight=weight
    )
    assert over_query[0].tolist() == [[1, 0], [0, 0]]
    assert over_context[0].tolist() == [1, 0]
    np.testing.assert_allclose(output[0], [[1, 0.1, 0.1, 1], [0, 0, 0, 0]], rtol=1e-14)
    output, _, over_context = co.bidaf(
        text(1, 5), text(0.1), always, lambda b, i: False, score_weight=weight
    )
    assert over_context[0].tolist() == [0, 0]
    assert output[0].tolist() == [[1, 0, 0, 0], [5, 0, 0, 0]]


def test_parallel_by_hand():
    # V = 1, 2; Q = 3; W_b = 0.1; W_v = 0.5; W_q = 0.25; both scores 1.
    one = np.ones((1, 1))
    result = co.parallel(
        text(1, 2),
        text(3),
        always,
        always,
        affinity_weight=0.1 * one,
        context_weight=0.5 * one,
        query_weight=0.25 * one,
        score_weight=np.array([[1.0], [1.0]]),
    )
    over_context = softmax(tanh(0.5 + 0.75 * tanh(0.3)), tanh(1 + 0.75 * tanh(0.6)))
    np.testing.assert_allclose(result[2][0], over_context, rtol=1e-14)
    np.testing.assert_allclose(result[0][0, 0], over_context[0] + 2 * over_context[1], rtol=1e-14)
    assert result[3][0].tolist() == [1]
    assert result[1][0].tolist() == [3]


def test_parallel_weighs_the_query_by_the_context():
    one = np.ones((1, 1))
    result = co.parallel(
        text(1),
        text(3, 4),
        always,
        always,
        affinity_weight=0.1 * one,
        context_weight=0.5 * one,
        query_weight=0.25 * one,
        score_weight=np.array([[1.0], [2.0]]),
    )
    first, second = tanh(0.75 + 0.5 * tanh(0.3)), tanh(1 + 0.5 * tanh(0.4))
    np.testing.assert_allclose(result[3][0], softmax(2 * first, 2 * second), rtol=1e-14)


def test_alternating_by_hand():
    step = {"weight": np.array([[0.5]]), "score": np.array([2.0])}
    guided = {**step, "guide": np.array([[0.1]])}
    result = co.alternating(text(3), text(1, 2), always, always, steps=[step, guided, guided])
    assert result[0][0].tolist() == [3]
    over_query = softmax(2 * tanh(0.5 + 0.3), 2 * tanh(1 + 0.3))  # guided by the context's 3
    np.testing.assert_allclose(result[3][0], over_query, rtol=1e-14)
    result = co.alternating(text(1, 2), text(3), always, always, steps=[step, guided, guided])
    np.testing.assert_allclose(result[2][0], over_query, rtol=1e-14)  # guided by the query's 3


def test_layers_by_hand():
    parameters = {
        "linear.weight": np.array([[1.0, 2.0]]),
        "linear.bias": np.array([0.5]),
        "norm.weight": np.array([1.0, 2.0]),
        "norm.bias": np.array([0.0, 10.0]),
    }
    x = np.array([[3.0, 1.0]])
    assert co.linear(x, parameters, "linear").tolist() == [[5.5]]
    del parameters["linear.bias"]
    assert co.linear(x, parameters, "linear").tolist() == [[5.0]]
    one = 1 / sqrt(1 + 1e-5)
    np.testing.assert_allclose(co.layer_norm(x, parameters, "norm"), [[one, 10 - 2 * one]])
    assert co.sigmoid(np.array([[0.0], [1.0]])).tolist() == [[0.5], [1 / (1 + exp(-1))]]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_cross_modal_streams_see_each_other(norm):
    # width 2 and no feed-forward; what the first stream sees is the second one's single vector
    zero, eye = np.zeros((2, 2)), np.eye(2)
    parameters = {}
    for name in ("first", "second"):
        for part, weight in (("query", zero), ("key", zero), ("value", eye), ("out", eye)):
            parameters[f"{name}_attention.{part}.weight"] = weight
        for part in ("inner", "outer"):
            parameters[f"{name}_feedforward.{part}.weight"] = zero
        for part in ("", "_feedforward"):
            parameters[f"{name}{part}_residual.norm.weight"] = np.ones(2)
            parameters[f"{name}{part}_residual.norm.bias"] = np.zeros(2)

    first, second = np.array([[[1.0, 0.0], [0.0, 3.0]]]), np.array([[[0.0, 5.0]]])
    result = co.cross_modal(
        first,
        second,
        lambda b, h, i, j: True,
        lambda b, h, i, j: j == 0,
        parameters=parameters,
        heads=1,
        norm=norm,
    )
    assert result[2].tolist() == [[[[1], [1]]]]
    assert result[3].tolist() == [[[[1, 0]]]]
    if norm == "post":  # (1, 5) and (0, 8), (1, 5): the norm leaves their signs
        want_first, want_second = [[-1, 1], [-1, 1]], [[-1, 1]]
    else:  # the norm of the other stream, added
        want_first, want_second = [[0, 1], [-1, 4]], [[1, 4]]
    np.testing.assert_allclose(result[0][0], want_first, atol=1e-4)
    np.testing.assert_allclose(result[1][0], want_second, atol=1e-4)
