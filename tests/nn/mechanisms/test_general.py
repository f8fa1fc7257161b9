"""General attention as a mechanism: its op, with its matrices."""

import torch

from heedful.nn.mechanisms.general import General
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_starts_from_scaled_dot_attention():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2)
    want = scaled_dot_weights(query, key)
    actual = General(heads=4, dim=3).weights(query, key)
    assert_close(actual, want, roundings=2 * roundings(want.dtype, 3, 3, 7), largest=1.0)
