"""The oracle of the normalisers against examples that can be done by hand."""

from math import exp, log, sqrt

import numpy as np
import pytest

from heedful.testing.oracle import normalisers


def everything(b, h, i, j):
    return True


def column(*numbers):
    """One batch row, one head, dim 1."""
    return np.array(numbers, dtype=np.float64).reshape(1, 1, -1, 1)


def softmax(*scores):
    return [exp(s) / sum(exp(t) for t in scores) for s in scores]


def weigh(mechanism, *scores, sees=everything, **settings):
    """The weights of one query whose score with each key is given, for one head."""
    key = column(*scores)
    weights, _ = mechanism(column(1), key, key, sees, **settings)
    return weights[0, 0, 0].tolist()


def test_entmax_of_one_and_a_half():
    # Two keys with scores 0 and -2 d: the roots of the weights are x and x - d, and
    # x^2 + (x - d)^2 = 1. For d = 0.2 that is 0.8^2 + 0.6^2.
    assert weigh(normalisers.entmax, 0, -0.4) == pytest.approx([0.64, 0.36])
    assert weigh(normalisers.entmax, 5, 4.6, -3) == pytest.approx([0.64, 0.36, 0])
    assert weigh(normalisers.entmax, 0, -2) == pytest.approx([1, 0])


def test_entmax_of_one_is_softmax_and_of_two_sparsemax():
    assert weigh(normalisers.entmax, 1, 2, 0, alpha=1) == pytest.approx(softmax(1, 2, 0))
    for mechanism, settings in ((normalisers.entmax, {"alpha": 2}), (normalisers.sparsemax, {})):
        assert weigh(mechanism, 1, 0.5, -3, **settings) == pytest.approx([0.75, 0.25, 0])


def test_entmax_takes_an_alpha_per_head():
    query, key = np.ones((1, 2, 1, 1)), column(0, -0.4)
    alpha = np.array([1.5, 1.0])
    weights, _ = normalisers.entmax(query, key, key, everything, alpha=alpha)
    np.testing.assert_allclose(weights[0, :, 0], [[0.64, 0.36], softmax(0, -0.4)], rtol=1e-12)


def test_sigmoid_weighs_each_key_for_itself():
    # of n keys with score 0 each gets 1 / (1 + n)
    assert weigh(normalisers.sigmoid, 0, 0, 0) == pytest.approx([1 / 4] * 3)
    seen = weigh(normalisers.sigmoid, 0, 9, 0, sees=lambda b, h, i, j: j != 1)
    assert seen == pytest.approx([1 / 3, 0, 1 / 3])
    want = [1 / (1 + exp(-1.5)), 1 / (1 + exp(2.5))]
    assert weigh(normalisers.sigmoid, 1, -3, bias=0.5) == pytest.approx(want)
    assert weigh(normalisers.sigmoid, 1, -3, bias=np.array([0.5])) == pytest.approx(want)


def test_top_k_keeps_the_largest_and_of_equal_ones_the_first():
    first, second = softmax(3, 2)
    assert weigh(normalisers.top_k, 1, 3, 2, 2, kept=2) == pytest.approx([0, first, second, 0])
    hides = weigh(normalisers.top_k, 1, 3, 2, kept=2, sees=lambda b, h, i, j: j != 1)
    assert hides == pytest.approx([softmax(1, 2)[0], 0, softmax(1, 2)[1]])
    assert weigh(normalisers.top_k, 1, 3, kept=5) == pytest.approx(softmax(1, 3))


def test_sink_takes_its_share():
    total = 1 + exp(1) + exp(2)
    assert weigh(normalisers.sink, 1, 2) == pytest.approx([exp(1) / total, exp(2) / total])
    total = exp(3) + exp(1)
    assert weigh(normalisers.sink, 1, sink=np.array([3.0])) == pytest.approx([exp(1) / total])


def test_scalable_raises_the_number_of_keys_to_the_score():
    # 3^(0.5 * 2) = 3 and 3^0 = 1
    strength = np.array([0.5])
    assert weigh(normalisers.scalable, 2, 0, 0, strength=strength) == pytest.approx(
        [3 / 5, 1 / 5, 1 / 5]
    )
    assert weigh(normalisers.scalable, 7, strength=strength) == pytest.approx([1])


def test_temperature_follows_the_entropy():
    even = weigh(normalisers.temperature, 0, 0, coefficients=(2, 1))
    assert even == pytest.approx([0.5, 0.5])
    first = softmax(1, 0)
    entropy = -sum(p * log(p) for p in first)
    factor = 2 * entropy + 1
    actual = weigh(normalisers.temperature, 1, 0, coefficients=(2, 1))
    assert actual == pytest.approx(softmax(factor, 0))
    assert weigh(normalisers.temperature, 1, 0, coefficients=(0.5,)) == pytest.approx(first)
    low = weigh(normalisers.temperature, 1, 0, coefficients=(2, 1), least_entropy=0.6)
    assert low == pytest.approx(first)  # the entropy is 0.58


def test_the_scale_is_one_over_the_root_of_dim():
    query, key = np.ones((1, 1, 1, 4)), np.stack([np.zeros(4), np.ones(4)]).reshape(1, 1, 2, 4)
    weights, _ = normalisers.sink(query, key, key, everything)
    np.testing.assert_allclose(weights[0, 0, 0], softmax(0, 4 / sqrt(4), 0)[:2], rtol=1e-14)
    weights, _ = normalisers.sink(query, key, key, everything, scale=0.25)
    np.testing.assert_allclose(weights[0, 0, 0], softmax(0, 1, 0)[:2], rtol=1e-14)


def test_heads_share_keys_and_see_for_themselves():
    query, key = np.ones((1, 4, 1, 1)), np.zeros((1, 2, 2, 1))
    value = np.array([[5.0, 6.0], [7.0, 8.0]]).reshape(1, 2, 2, 1)
    weights, output = normalisers.sparsemax(query, key, value, lambda b, h, i, j: j <= h)
    assert weights[0, :, 0].tolist() == [[1, 0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    assert output[0, :, 0, 0].tolist() == [5, 5.5, 7.5, 7.5]
