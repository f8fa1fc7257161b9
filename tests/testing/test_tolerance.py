"""The tolerance grows with the dtype's rounding, and a larger difference is seen."""

import pytest
import torch

from heedful.testing.tolerance import assert_close, roundings


def test_counts_two_roundings_per_term():
    assert roundings(torch.float32, 3, 7) == 4 + 2 * (3 + 7)
    assert roundings(torch.bfloat16, 3, 7) == roundings(torch.float16, 3, 7) == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_band_is_roundings_times_eps_times_largest(dtype):
    eps = torch.finfo(dtype).eps
    actual = torch.zeros(3, dtype=dtype)
    inside = torch.full((3,), 5.9 * eps, dtype=torch.float64)
    assert_close(actual, inside, roundings=2, largest=3.0)
    with pytest.raises(AssertionError, match="not close"):
        assert_close(actual, inside * 1.1, roundings=2, largest=3.0)
    with pytest.raises(AssertionError, match="shape"):
        assert_close(actual, inside[:2], roundings=2, largest=3.0)
