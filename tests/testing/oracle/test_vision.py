"""The oracle of attention on images against examples that can be done by hand."""

from math import exp, sqrt

import numpy as np
import pytest

from heedful.testing.oracle import vision


def everything(b, i, j):
    return True


def sigmoid(a):
    return 1 / (1 + exp(-a))


def softmax(*scores):
    return [exp(s) / sum(exp(t) for t in scores) for s in scores]


def same(actual, want):
    np.testing.assert_allclose(actual, want, rtol=1e-14, atol=1e-15)


# two channels, one row of two pixels: (1, 10) and (3, 30); means 2 and 20
X = np.array([[[[1.0, 3.0]], [[10.0, 30.0]]]])


def test_squeeze_excitation():
    # W_1 means = (2 - 1.5, -20 + 0), relu = (0.5, 0); W_2 of it = (1, 1.5) + bias
    (gates,), output = vision.squeeze_excitation(
        X,
        everything,
        reduce_weight=np.array([[1.0, 0.0], [0.0, -1.0]]),
        reduce_bias=np.array([-1.5, 0.0]),
        expand_weight=np.array([[2.0, 7.0], [3.0, 7.0]]),
        expand_bias=np.array([0.0, -3.0]),
    )
    same(gates, [[sigmoid(1), sigmoid(-1.5)]])
    same(output[0, :, 0, 1], [3 * sigmoid(1), 30 * sigmoid(-1.5)])


def test_hidden_pixels_do_not_count_and_give_zero():
    # only (1, 10) is there
    (gates,), output = vision.squeeze_excitation(
        X,
        lambda b, i, j: j == 0,
        reduce_weight=np.array([[1.0, 0.1]]),
        expand_weight=np.array([[1.0], [-1.0]]),
    )
    same(gates, [[sigmoid(2), sigmoid(-2)]])
    same(output[0, :, 0], [[sigmoid(2), 0], [10 * sigmoid(-2), 0]])


def test_eca_slides_the_kernel_over_the_means():
    # means 2, 20 under the kernel 1, 0.1, 0.01: 0.2 + 0.2 and 2 + 2
    kernel = np.array([[[1.0, 0.1, 0.01]]])
    (gates,), output = vision.eca(X, everything, convolve_weight=kernel)
    same(gates, [[sigmoid(0.4), sigmoid(4)]])
    same(output[0, 1, 0], [10 * sigmoid(4), 30 * sigmoid(4)])


def test_cbam_adds_both_pools_and_then_convolves():
    # f of the means (2, 20) is relu(2 - 20) = 0; f of the maxima (3, 30) is 0 as well: gates 1 / 2
    kernel = np.zeros((1, 2, 1, 3))
    kernel[0, 0, 0, 1], kernel[0, 1, 0, 2] = 0.1, 0.01  # the mean here, the maximum to the right
    (gates, spots), output = vision.cbam(
        X,
        everything,
        reduce_weight=np.array([[1.0, -1.0]]),
        expand_weight=np.array([[1.0], [1.0]]),
        convolve_weight=kernel,
        convolve_bias=np.array([1.0]),
    )
    same(gates, [[0.5, 0.5]])
    # halved pixels (0.5, 5) and (1.5, 15): means 2.75 and 8.25, maxima 5 and 15
    want = [sigmoid(1 + 0.275 + 0.15), sigmoid(1 + 0.825)]
    same(spots, [[want]])
    same(output[0, 1, 0], [5 * want[0], 15 * want[1]])


def test_cbam_pools_mean_and_maximum():
    # f adds: 22 * 0.1 from the means, 33 * 0.1 from the maxima
    (gates, _), _ = vision.cbam(
        X,
        everything,
        reduce_weight=np.array([[0.1, 0.1]]),
        expand_weight=np.array([[1.0], [-1.0]]),
        convolve_weight=np.zeros((1, 2, 1, 1)),
        convolve_bias=np.zeros(1),
    )
    same(gates, [[sigmoid(5.5), sigmoid(-5.5)]])


LINE = np.array([1.0, 2.0, 4.0]).reshape(1, 1, 1, 3)
ONE, ZERO = np.ones((1, 1)), np.zeros(1)
MAPS = {
    f"{name}_{part}": number
    for name in ("query", "key", "value", "out")
    for part, number in (("weight", ONE), ("bias", ZERO))
}


def test_embedded_gaussian_shares_by_products():
    maps = MAPS | {"value_weight": 10 * ONE, "out_bias": np.array([100.0])}
    (weights,), output = vision.non_local(LINE, everything, **maps)
    same(weights[0, 1], softmax(2, 4, 8))
    mixed = sum(w * v for w, v in zip(softmax(2, 4, 8), (10, 20, 40), strict=True))
    assert output[0, 0, 0, 1] == pytest.approx(2 + mixed + 100, rel=1e-14)


def test_gaussian_compares_the_pixels_themselves():
    maps = {name: x for name, x in MAPS.items() if "value" in name or "out" in name}
    (weights,), _ = vision.non_local(LINE, everything, affinity="gaussian", **maps)
    same(weights[0, 0], softmax(1, 2, 4))


def test_dot_divides_by_the_number_of_keys():
    (weights,), output = vision.non_local(LINE, lambda b, i, j: j < 2, affinity="dot", **MAPS)
    same(weights[0], [[0.5, 1, 0], [1, 2, 0], [0, 0, 0]])
    same(output[0, 0, 0], [1 + 0.5 + 2, 2 + 1 + 4, 0])


def test_windows_keep_the_largest_and_may_be_cut_short():
    # windows {1, 2} and {4}; with keys negated the largest of {-1, -2} is -1
    maps = MAPS | {"key_weight": -ONE}
    (weights,), output = vision.non_local(LINE, everything, affinity="dot", window=2, **maps)
    same(weights[0], [[-0.5, -2], [-1, -4], [-2, -8]])
    same(output[0, 0, 0, 0], 1 - 0.5 * 2 - 2 * 4)


def test_sagan_fades_in():
    (weights,), output = vision.sagan(
        LINE,
        lambda b, i, j: j > 0,
        query_weight=ONE,
        key_weight=2 * ONE,
        value_weight=3 * ONE,
        out_weight=5 * ONE,
        gamma=np.array([0.5]),
    )
    same(weights[0], [[0, 0, 0], [0, *softmax(8, 16)], [0, *softmax(16, 32)]])
    mixed = sum(w * v for w, v in zip(softmax(8, 16), (6, 12), strict=True))
    same(output[0, 0, 0], [0, 2 + 0.5 * 5 * mixed, output[0, 0, 0, 2]])


def axial_maps(channels, **changed):
    maps = {
        f"along_{way}_{name}_{part}": number
        for way in ("height", "width")
        for name in ("query", "key", "value", "out")
        for part, number in (("weight", np.eye(channels)), ("bias", np.zeros(channels)))
    }
    return maps | changed


def test_axial_mixes_columns_and_then_rows():
    x = np.array([[1.0, 0.0], [2.0, 0.0]]).reshape(1, 1, 2, 2)
    (down, across), output = vision.axial(x, everything, heads=1, **axial_maps(1))
    same(down[0, 0, 0], [softmax(1, 2), softmax(2, 4)])
    same(down[0, 1, 0], [[0.5, 0.5], [0.5, 0.5]])
    first = sum(w * v for w, v in zip(softmax(1, 2), (1, 2), strict=True))
    same(across[0, 0, 0], [softmax(first**2, 0), [0.5, 0.5]])
    same(output[0, 0, 0], [first * softmax(first**2, 0)[0], first / 2])


def test_axial_heads_take_their_part_and_scale_by_its_size():
    x = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 5.0], [6.0, 7.0]]).reshape(1, 4, 2, 1)
    (down, _), _ = vision.axial(x, everything, heads=2, **axial_maps(4))
    # first head: pixels (1, 3) and (2, 4); second: (0, 6) and (5, 7)
    same(down[0, 0, 0, 0], softmax(10 / sqrt(2), 14 / sqrt(2)))
    same(down[0, 0, 1, 0], softmax(36 / sqrt(2), 42 / sqrt(2)))


def test_axial_skips_pixels_that_do_not_exist():
    x = np.array([[1.0, 5.0], [2.0, 7.0]]).reshape(1, 1, 2, 2)
    maps = axial_maps(1, along_width_out_bias=np.array([10.0]))
    (down, across), output = vision.axial(x, lambda b, i, j: j == 0, heads=1, **maps)
    assert down[0, 1].max() == across[0, :, :, 1].max() == 0
    same(across[0, :, 0, 0], [[1, 0], [1, 0]])
    same(output[0, 0, :, 1], [0, 0])
    assert output[0, 0, 0, 0] > 10
