"""How far two correct computations may differ: counted from the arithmetic, never tuned."""

import torch
from torch import Tensor


def roundings(dtype: torch.dtype, *terms: int) -> int:
    """How often a value is rounded on its way.

    Args:
        dtype: In which the result is given.
        terms: Lengths of the sums on the way, e.g. dim and keys.

    Returns:
        Half precision: 4, because sums run in float32 and only score, weight, product and result
        are rounded. Otherwise two per term of a sum (product and addition), and those 4.
    """
    half = dtype in (torch.float16, torch.bfloat16)
    return 4 if half else 4 + 2 * sum(terms)


def assert_close(actual: Tensor, want: Tensor, *, roundings: int, largest: float) -> None:
    """Assert that `actual` is `want` up to its dtype's rounding.

    Args:
        actual: The computed tensor.
        want: What it should be, in float64.
        roundings: How often a value is rounded on its way.
        largest: The largest value that takes part.

    Raises:
        AssertionError: The shapes differ, or a difference exceeds
            `roundings * finfo(actual.dtype).eps * largest`.
    """
    band = roundings * torch.finfo(actual.dtype).eps * largest
    torch.testing.assert_close(actual.double(), want.double(), rtol=0, atol=band)
