"""Limits of what is learned, which it can leave again."""

from torch import Tensor


def limited(x: Tensor, *, least: float = float("-inf"), most: float = float("inf")) -> Tensor:
    """Clamp, with the gradient of `x` at both ends too; beyond them there is none.

    `clamp` passes none at its ends since torch 2.14: a parameter that stands at one would stay.
    """
    clamped = x.detach().clamp(least, most)
    return x.where(x == clamped, clamped)
