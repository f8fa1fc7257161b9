"""The oracle of heads that are more than one map against examples that can be done by hand."""

from math import exp, sqrt

import numpy as np

from heedful.testing.oracle import heads


def everything(b, h, i, j):
    return True


def softmax(*scores):
    return [exp(s) / sum(exp(t) for t in scores) for s in scores]


def test_talking_heads_by_hand():
    # dim 1: head 0 scores (1, 2), head 1 scores (10, 0)
    query = np.array([1.0, 10.0]).reshape(1, 2, 1, 1)
    key = np.array([[1.0, 2.0], [1.0, 0.0]]).reshape(1, 2, 2, 1)
    value = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    weights, output = heads.talking_heads(
        query,
        key,
        value,
        everything,
        score_mix=np.array([[1.0, 0.5], [0.0, 0.1]]),
        weight_mix=np.array([[2.0, -1.0], [0.0, 3.0]]),
    )
    first, second = np.array(softmax(1 + 5, 2)), np.array(softmax(1, 0))
    np.testing.assert_allclose(weights[0, 0, 0], 2 * first - second, rtol=1e-14)
    np.testing.assert_allclose(weights[0, 1, 0], 3 * second, rtol=1e-14)
    np.testing.assert_allclose(output[0, 0, 0, 0], (2 * first - second) @ [1, 2], rtol=1e-14)
    np.testing.assert_allclose(output[0, 1, 0, 0], 3 * second @ [3, 4], rtol=1e-14)


def test_talking_heads_mix_what_is_visible_only():
    query = np.ones((1, 2, 2, 4))
    key = np.stack([np.zeros(4), np.ones(4), 9 * np.ones(4)]).reshape(1, 1, 3, 4)
    one = np.array([[0.0, 1.0], [1.0, 0.0]])
    weights, output = heads.talking_heads(
        query,
        key,
        key,
        lambda b, h, i, j: i == 1 and j < 2,
        score_mix=2 * one,
        weight_mix=one,
    )
    assert weights[0, :, 0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert output[0, :, 0].any() == 0
    want = softmax(0, 2 * 4 / sqrt(4))
    np.testing.assert_allclose(weights[0, :, 1], [[*want, 0]] * 2, rtol=1e-14)
    weights, _ = heads.talking_heads(
        query, key, key, everything, score_mix=one, weight_mix=one, scale=0.25
    )
    np.testing.assert_allclose(weights[0, 0, 0], softmax(0, 1, 9), rtol=1e-14)


def test_differential_by_hand():
    # halves of 1: the first scores (1, 3), the second (4, 2)
    query = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    key = np.array([[1.0, 2.0], [3.0, 1.0]]).reshape(1, 1, 2, 2)
    value = np.array([[1.0], [10.0]]).reshape(1, 1, 2, 1)
    weights, output = heads.differential(query, key, value, everything, subtracted=np.array([0.3]))
    want = np.array(softmax(1, 3)) - 0.3 * np.array(softmax(4, 2))
    np.testing.assert_allclose(weights[0, 0, 0], want, rtol=1e-14)
    np.testing.assert_allclose(output[0, 0, 0, 0], want @ [1, 10], rtol=1e-14)


def test_differential_scales_by_the_size_of_a_half():
    query = np.ones((1, 1, 1, 8))
    key = np.stack([np.zeros(8), np.ones(8)]).reshape(1, 1, 2, 8)
    weights, _ = heads.differential(query, key, key, everything, subtracted=np.array([0.0]))
    np.testing.assert_allclose(weights[0, 0, 0], softmax(0, 4 / sqrt(4)), rtol=1e-14)
    weights, output = heads.differential(
        query, key, key, lambda b, h, i, j: False, subtracted=np.array([0.5]), scale=1.0
    )
    assert weights.any() == 0
    assert output.any() == 0
