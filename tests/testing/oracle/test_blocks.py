"""The oracle of blocks against examples by hand."""

import numpy as np
import pytest

from heedful.testing import oracle


def everything(b, h, i, j):
    return True


@pytest.mark.parametrize("block", [1, 3])
def test_blocks_do_not_matter_where_all_are_read(block):
    x = np.arange(4.0).reshape(1, 1, 4, 1)
    found = oracle.blockwise(x, x, x, everything, block=block, scale=0.5)
    for actual, want in zip(found, oracle.scaled_dot(x, x, x, everything, scale=0.5), strict=True):
        assert np.array_equal(actual, want)


def test_block_sparse_by_hand():
    zeros = np.zeros((1, 2, 3, 1))
    listed = np.array([[[[True, False], [True, True]], [[False, True], [False, False]]]])
    weights, _ = oracle.block_sparse(zeros, zeros, zeros, everything, blocks=listed, block=2)
    third = 1 / 3
    want = [
        [[0.5, 0.5, 0], [0.5, 0.5, 0], [third, third, third]],
        [[0, 0, 1], [0, 0, 1], [0, 0, 0]],
    ]
    np.testing.assert_allclose(weights[0], want, rtol=1e-15)


def test_one_list_stands_for_all_heads():
    zeros = np.zeros((2, 2, 2, 1))
    listed = np.array([[[[True, False]]]])
    weights, _ = oracle.block_sparse(
        zeros[:, :, :1], zeros, zeros, everything, blocks=listed, block=1
    )
    assert weights.tolist() == [[[[1, 0]], [[1, 0]]]] * 2
