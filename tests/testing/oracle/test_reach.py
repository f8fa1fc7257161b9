"""The oracle of reach against examples that can be done by hand: all scores are 0."""

import numpy as np
import pytest

from heedful.testing import oracle


def everything(b, h, i, j):
    return True


def zeros(length):
    return np.zeros((1, 1, length, 1))


def weights(mechanism, queries, keys, sees=everything, **settings):
    found, _ = mechanism(zeros(queries), zeros(keys), zeros(keys), sees, **settings)
    return found[0, 0].tolist()


def test_window_by_hand():
    half, third = 1 / 2, 1 / 3
    assert weights(oracle.window, 2, 4, window=2) == [[0, half, half, 0], [0, 0, half, half]]
    # the first key as a sink, and one key ahead
    found = weights(oracle.window, 2, 4, window=1, ahead=1, sinks=1)
    np.testing.assert_allclose(found, [[third, 0, third, third], [half, 0, 0, half]], rtol=1e-15)


def test_window_and_mask():
    found = weights(oracle.window, 1, 3, lambda b, h, i, j: j < 2, window=2)
    assert found == [[0, 1, 0]]


def test_neighbourhood_moves_inside_at_a_border():
    third = 1 / 3
    want = [[third, third, third, 0]] * 2 + [[0, third, third, third]] * 2
    found = weights(oracle.neighbourhood, 4, 4, shape=(4,), window=(3,))
    np.testing.assert_allclose(found, want, rtol=1e-15)


def test_neighbourhood_of_a_grid():
    # 2 x 3 places, a window of 1 x 3: each row of the grid is seen whole, and no other
    found = weights(oracle.neighbourhood, 6, 6, shape=(2, 3), window=(1, 3))
    want = np.kron(np.eye(2), np.full((3, 3), 1 / 3))
    np.testing.assert_allclose(found, want, rtol=1e-15)


def test_adaptive_span_fades_by_its_ramp():
    # distances 3, 2, 1, 0 with a span of 1 and a ramp of 2: 0, 1/2, 1, 1
    found = weights(oracle.adaptive_span, 1, 4, span=np.array([1.0]), ramp=2.0)
    np.testing.assert_allclose(found, [[0, 0.2, 0.4, 0.4]], rtol=1e-15)


def test_transformer_xl_reads_the_distance():
    # two queries, two keys: distances 1, 0 and -1 in this order; only one of them has a score
    position = np.array([[[0.0], [np.log(3)], [0.0]]])
    one = np.ones((1, 1))
    query = zeros(2)
    found, _ = oracle.transformer_xl(
        query, query, query, everything, position=position, content_bias=one, position_bias=one
    )
    np.testing.assert_allclose(found[0, 0], [[0.75, 0.25], [0.25, 0.75]], rtol=1e-15)


@pytest.mark.parametrize("mechanism", [oracle.window, oracle.neighbourhood])
def test_a_row_without_keys_is_0(mechanism):
    settings = {"window": 1} if mechanism is oracle.window else {"shape": (2,), "window": (1,)}
    found = weights(mechanism, 2, 2, lambda b, h, i, j: i == 1, **settings)
    assert found == [[0, 0], [0, 1]]
