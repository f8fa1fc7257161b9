"""The oracle against examples that can be done by hand."""

from math import exp, sqrt, tanh

import numpy as np
import pytest

from heedful.testing import oracle


def everything(b, h, i, j):
    return True


def column(*numbers):
    """One batch row, one head, dim 1."""
    return np.array(numbers, dtype=np.float64).reshape(1, 1, -1, 1)


def softmax(*scores):
    return [exp(s) / sum(exp(t) for t in scores) for s in scores]


@pytest.mark.parametrize("mechanism", [oracle.scaled_dot, oracle.dot])
def test_self_attention_of_one_two_three(mechanism):
    # All projections are 1, so query = key = value = x; dim is 1, so the scale is 1 as well.
    x = column(1, 2, 3)
    weights, output = mechanism(x, x, x, everything)
    e = exp(1)
    first = [1 / (1 + e + e**2), e / (1 + e + e**2), e**2 / (1 + e + e**2)]  # scores 1, 2, 3
    np.testing.assert_allclose(weights[0, 0, 0], first, rtol=1e-14)
    np.testing.assert_allclose(weights[0, 0, 0], [0.0900, 0.2447, 0.6652], atol=5e-5)
    np.testing.assert_allclose(weights[0, 0, 1], softmax(2, 4, 6), rtol=1e-14)
    np.testing.assert_allclose(weights[0, 0, 2], softmax(3, 6, 9), rtol=1e-14)
    np.testing.assert_allclose(output[0, 0, :, 0], [2.5752, 2.8509, 2.9480], atol=5e-5)


def test_causal_self_attention_of_one_two_three():
    x = column(1, 2, 3)
    weights, output = oracle.scaled_dot(x, x, x, lambda b, h, i, j: j <= i)
    np.testing.assert_allclose(weights[0, 0, 0], [1, 0, 0])
    np.testing.assert_allclose(weights[0, 0, 1], [*softmax(2, 4), 0], rtol=1e-14)
    np.testing.assert_allclose(output[0, 0, 0, 0], 1)


def test_query_that_sees_nothing_gets_zero():
    x = column(1, 2, 3)
    weights, output = oracle.dot(x, x, x, lambda b, h, i, j: i > 0)
    assert weights[0, 0, 0].tolist() == [0, 0, 0]
    assert output[0, 0, 0, 0] == 0
    assert weights[0, 0, 1].sum() == pytest.approx(1)


def test_scale_is_one_over_the_root_of_dim():
    query = np.ones((1, 1, 1, 4))
    key = np.stack([np.zeros(4), np.ones(4)]).reshape(1, 1, 2, 4)
    weights, _ = oracle.scaled_dot(query, key, key, everything)
    np.testing.assert_allclose(weights[0, 0, 0], softmax(0, 4 / sqrt(4)), rtol=1e-14)
    weights, _ = oracle.scaled_dot(
        query, key, key, everything, scale=0.5, bias=weights * 0 + [3, 0]
    )
    np.testing.assert_allclose(weights[0, 0, 0], softmax(3, 2), rtol=1e-14)


def test_general_multiplies_the_key():
    query = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    weight = np.array([[[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]])
    key = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]).reshape(1, 1, 2, 3)
    # W key: (3, 3) and (2, 0); scores: 3 + 6 and 2.
    weights, _ = oracle.general(query, key, key, everything, weight=weight)
    np.testing.assert_allclose(weights[0, 0, 0], softmax(9, 2), rtol=1e-14)


def test_additive_adds_before_tanh():
    weights, _ = oracle.additive(
        column(1), column(0, -1), column(0, 0), everything, score_weight=np.array([[2.0]])
    )
    np.testing.assert_allclose(weights[0, 0, 0], softmax(2 * tanh(1), 0), rtol=1e-14)


def test_coverage_adds_what_was_seen():
    weights, _ = oracle.coverage(
        column(1),
        column(0, 0),
        column(0, 0),
        everything,
        coverage=np.array([[[0.0, 0.5]]]),
        coverage_weight=np.array([[-2.0]]),
        score_weight=np.array([[2.0]]),
    )
    np.testing.assert_allclose(weights[0, 0, 0], softmax(2 * tanh(1), 0), rtol=1e-14)


def test_location_slides_the_kernel_over_the_previous_weights():
    # previous 1, 10, 100 under the kernel 1, 2, 3: 0 + 2 + 30, 1 + 20 + 300, 10 + 200 + 0.
    weights, _ = oracle.location(
        column(0),
        column(0, 0, 0),
        column(0, 0, 0),
        everything,
        previous=np.array([[[1.0, 10.0, 100.0]]]),
        kernel=np.array([[[1.0, 2.0, 3.0]]]),
        location_weight=np.array([[[0.001]]]),
        score_weight=np.array([[1.0]]),
    )
    want = softmax(tanh(0.032), tanh(0.321), tanh(0.210))
    np.testing.assert_allclose(weights[0, 0, 0], want, rtol=1e-14)


def test_neighbouring_heads_share_a_key_and_value_head():
    query = np.ones((1, 4, 1, 1))
    key = np.zeros((1, 2, 1, 1))
    value = np.array([5.0, 6.0]).reshape(1, 2, 1, 1)
    _, output = oracle.dot(query, key, value, everything)
    assert output[0, :, 0, 0].tolist() == [5, 5, 6, 6]
