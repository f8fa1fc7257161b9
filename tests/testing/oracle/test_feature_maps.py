"""The oracle of feature maps against examples that can be done by hand."""

from math import exp

import numpy as np

from heedful.testing.oracle import feature_maps


def everything(b, h, i, j):
    return True


def column(*numbers):
    """One batch row, one head, dim 1."""
    return np.array(numbers, dtype=np.float64).reshape(1, 1, -1, 1)


def test_linear_by_hand():
    # phi(2) = 3, phi(0) = 1, phi(-1) = exp(-1)
    weights, output = feature_maps.linear(
        column(5), column(2, 0, -1), column(10, 20, 30), everything
    )
    total = 4 + exp(-1)
    want = [3 / total, 1 / total, exp(-1) / total]
    np.testing.assert_allclose(weights[0, 0, 0], want, rtol=1e-14)
    np.testing.assert_allclose(output[0, 0, 0, 0], np.dot(want, [10, 20, 30]), rtol=1e-14)


def test_linear_of_two_dimensions():
    query, key = np.array([[[[0.0, 2.0]]]]), np.array([[[[1.0, 0.0], [3.0, 1.0]]]])
    # phi(q) = (1, 3), phi(k) = (2, 1) and (4, 2)
    weights, _ = feature_maps.linear(query, key, key, everything)
    np.testing.assert_allclose(weights[0, 0, 0], [5 / 15, 10 / 15], rtol=1e-14)


def test_hedgehog_by_hand():
    # dim 1, features 1: phi(x) = softmax(w x, -w x), so phi_0 = 1 / (1 + exp(-2 w x))
    weights, _ = feature_maps.hedgehog(
        column(0.5),
        column(1, -2),
        column(1, 1),
        everything,
        query_map=np.array([[[2.0]]]),
        key_map=np.array([[[3.0]]]),
    )
    a, b, c = (1 / (1 + exp(-2 * x)) for x in (1, 3, -6))
    scores = [a * b + (1 - a) * (1 - b), a * c + (1 - a) * (1 - c)]
    want = [x / sum(scores) for x in scores]
    np.testing.assert_allclose(weights[0, 0, 0], want, rtol=1e-14)


def test_performer_by_hand():
    # dim 1: phi(x) = exp(w x - x^2 / 2); the part of the query that all features share cancels
    weights, _ = feature_maps.performer(
        column(2),
        column(1, -1),
        column(1, 1),
        everything,
        projection=np.array([[[1.0], [-3.0]]]),
    )
    scores = [exp(2 + 1) + exp(-6 - 3), exp(2 - 1) + exp(-6 + 3)]
    want = [x / sum(scores) for x in scores]
    np.testing.assert_allclose(weights[0, 0, 0], want, rtol=1e-14)


def test_performer_scales_by_the_fourth_root_of_dim():
    row = np.zeros((1, 1, 1, 16))
    row[..., 0] = 6.0  # 3 after scaling
    keys = np.concatenate([row, 0 * row], 2)
    projection = np.zeros((1, 1, 16))
    projection[..., 0] = 2.0
    weights, _ = feature_maps.performer(row, keys, keys, everything, projection=projection)
    odds = exp(6 - 4.5)
    np.testing.assert_allclose(weights[0, 0, 0], [odds / (1 + odds), 1 / (1 + odds)], rtol=1e-14)


def test_heads_have_maps_of_their_own_share_keys_and_see_for_themselves():
    query, key = np.ones((1, 2, 1, 1)), column(1, 0, 1)
    weights, _ = feature_maps.performer(
        query,
        key,
        key,
        lambda b, h, i, j: j < 3 - h,
        projection=np.array([[[0.5]], [[1.5]]]),
    )
    np.testing.assert_allclose(weights[0, 0, 0], [1 / 3] * 3, rtol=1e-14)
    np.testing.assert_allclose(weights[0, 1, 0], [exp(1) / (1 + exp(1)), 1 / (1 + exp(1)), 0])
