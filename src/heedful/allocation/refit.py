"""Least squares: the output projection that makes the most of what is left."""

import torch
from torch import Tensor

from heedful.allocation.moments import Moments
from heedful.allocation.projections import Projections

RIDGE = 1e-4  # of the mean variance: keeps directions that hardly occurred from blowing up
LEAST = 1e-30  # where nothing occurred at all


def refit(
    before: Projections, after: Projections, moments: Moments | None, columns: list[int]
) -> Projections:
    """Return `after` with the output projection that comes closest to what `before` gave.

    Closest in the sum of squares over all positions seen, given only these columns of what the
    heads mixed, and a constant.

    Args:
        before: The site as it was when `moments` was recorded.
        after: The same with fewer heads.
        moments: What went through; where nobody knows, `after` is returned as it is.
        columns: Which columns of the mixed values are left, in the order of `after`.
    """
    if moments is None or moments.mixed is None:
        return after
    gram = moments.mixed / moments.rows
    kept = [*columns, len(gram) - 1]
    bias = before.out.new_zeros(before.geometry.out) if before.out_bias is None else before.out_bias
    whole = torch.cat([before.out.flatten(0, 1), bias[None]]).double()
    solution = solve(gram[kept][:, kept], gram[kept] @ whole.to(gram.device))
    solution = solution.to(before.out)
    return after.with_(out=solution[:-1].unflatten(0, after.out.shape[:2]), out_bias=solution[-1])


def solve(gram: Tensor, target: Tensor) -> Tensor:
    """Return `x` that minimises `x' gram x / 2 - x' target`, held back where `gram` is nearly flat.

    Args:
        gram: `(columns, columns)`, the last column that of the constant, which nothing holds back.
        target: `(columns, out)`.
    """
    ridge = (RIDGE * gram.diagonal()[:-1].mean()).clamp(min=LEAST)
    held = torch.full((len(gram),), ridge.item(), dtype=gram.dtype, device=gram.device)
    held[-1] = 1e-12
    return torch.linalg.solve(gram + held.diag(), target)
