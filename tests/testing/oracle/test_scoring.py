"""The oracle of scores against examples that can be done by hand."""

from math import exp, tanh

import numpy as np

from heedful.testing.oracle import scoring


def everything(b, h, i, j):
    return True


def softmax(*scores):
    return [exp(s) / sum(exp(t) for t in scores) for s in scores]


def test_concat_by_hand():
    # hidden 2, dim 1, key_dim 2: inner = (q + k_0, 2 q + 10 k_1), v = (3, -1)
    query = np.array([[[[1.0]]]])
    key = np.array([[[[0.5, 0.0], [0.0, 0.1]]]])
    weights, output = scoring.concat(
        query,
        key,
        np.array([[[[10.0], [20.0]]]]),
        everything,
        query_weight=np.array([[[1.0], [2.0]]]),
        key_weight=np.array([[[1.0, 0.0], [0.0, 10.0]]]),
        score_weight=np.array([[3.0, -1.0]]),
    )
    scores = 3 * tanh(1.5) - tanh(2), 3 * tanh(1) - tanh(3)
    want = softmax(*scores)
    np.testing.assert_allclose(weights[0, 0, 0], want, rtol=1e-14)
    np.testing.assert_allclose(output[0, 0, 0, 0], 10 * want[0] + 20 * want[1], rtol=1e-14)


def test_concat_gives_every_head_its_own_numbers_and_shares_keys():
    query = np.ones((1, 2, 1, 1))
    key = np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    weights, _ = scoring.concat(
        query,
        key,
        key,
        everything,
        query_weight=np.zeros((2, 1, 1)),
        key_weight=np.array([1.0, 2.0]).reshape(2, 1, 1),
        score_weight=np.array([[1.0], [5.0]]),
    )
    np.testing.assert_allclose(weights[0, 0, 0], softmax(0, tanh(1)), rtol=1e-14)
    np.testing.assert_allclose(weights[0, 1, 0], softmax(0, 5 * tanh(2)), rtol=1e-14)


def test_cosine_by_hand():
    query = np.array([[3.0, 4.0], [0.0, 0.0]]).reshape(1, 1, 2, 2)
    key = np.array([[30.0, 40.0], [-4.0, 3.0], [-3.0, -4.0], [5.0, 0.0], [0.0, 0.0]])
    key = key.reshape(1, 1, 5, 2)
    weights, _ = scoring.cosine(query, key, key, everything, scale=np.array([2.0]))
    np.testing.assert_allclose(weights[0, 0, 0], softmax(2, 0, -2, 2 * 3 / 5, 0), rtol=1e-14)
    np.testing.assert_allclose(weights[0, 0, 1], [0.2] * 5, rtol=1e-14)


def test_hidden_keys_have_no_share():
    key = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    weights, output = scoring.cosine(
        key, key, key, lambda b, h, i, j: i == 1 and j == 1, scale=np.array([1.0])
    )
    assert weights[0, 0].tolist() == [[0, 0], [0, 1]]
    assert output[0, 0, :, 0].tolist() == [0, 2]
