"""Let values have fewer dimensions."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_finite, check_heads, check_mixed, check_number
from heedful.allocation.moves._metric import factors, inputs, mapped, ridged
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Projections
from heedful.allocation.refit import solve
from heedful.errors import UnsupportedError


@final
@dataclass(frozen=True, kw_only=True)
class ValueRank(Move):
    """Carry the `rank` directions of each value head that matter most to what the site gives.

    What the head adds to the output comes as close as this rank allows, in the mean square over
    what the heads mixed, or where nobody knows that, over the values; its mean goes into the bias
    of the output and takes no rank. Query heads that share a value head share the directions. Where
    it is known what the heads mixed, the output projection is then refitted to all heads at once.

    Args:
        rank: How many dimensions stay.

    Raises:
        ConfigError: `rank` is below 1 or far too large.

    Source:
        Meng et al. 2024, arXiv:2411.17426 (low rank of values and output together, head by head;
        there without data). Wang et al. 2024, arXiv:2403.07378 (whitening by the data).

    Cost:
        Saves the share of the value and output projections, of the sums and of stored values.
    """

    rank: int

    def __post_init__(self) -> None:
        check_number("rank", self.rank)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_heads(site)
        check_mixed(site)
        check_finite(site, moments)
        if site.gate is not None:
            raise UnsupportedError("values must have no gates of their own, got a recurrence")
        present = site.geometry.value_dim
        if self.rank >= present:
            raise UnsupportedError(f"rank must be below {present} here, got {self.rank}")
        shared = (-1, site.groups)
        means, covariances = mixed_moments(site, moments)
        spread = covariances.unflatten(0, shared).mean(1)
        reach = (site.out.double() @ site.out.double().mT).unflatten(0, shared).sum(1)
        both = [factors(*pair, rank=self.rank) for pair in zip(reach, spread, strict=True)]
        for_values = torch.stack([of_value for _, of_value in both])
        for_out = torch.stack([of_out for of_out, _ in both]).repeat_interleave(site.groups, dim=0)
        to_mixed = for_values.repeat_interleave(site.groups, dim=0)
        lost = site.out.double() - to_mixed.mT @ for_out @ site.out.double()
        bias = site.out.new_zeros(site.geometry.out) if site.out_bias is None else site.out_bias
        new = site.with_(
            value=mapped(for_values, site.value),
            value_bias=None if site.value_bias is None else mapped(for_values, site.value_bias),
            out=mapped(for_out, site.out),
            out_bias=bias + torch.einsum("hv,hvo->o", means, lost).to(bias),
        )
        mixed = None if moments is None else moments.mixed
        return new if mixed is None else _refitted(site, new, mixed, to_mixed)


def mixed_moments(site: Projections, moments: Moments | None) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of what each head mixed; the values stand in for it."""
    heads, size = site.out.shape[:2]
    rows = [head // site.groups for head in range(heads)]
    if moments is None or moments.mixed is None:
        context = inputs(None if moments is None else moments.values, site.value)
        means = context.means(site.value, site.value_bias)
        return means[rows], context.varying(site.value)[rows]
    gram = (moments.mixed / moments.mixed[-1, -1]).to(dtype=torch.float64, device=site.out.device)
    means = gram[-1, :-1].unflatten(0, (heads, size))
    blocks = gram[:-1, :-1].unflatten(0, (heads, size)).unflatten(2, (heads, size))
    own = blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0) - means[:, :, None] * means[:, None]
    return means, ridged(own, inputs(None, site.value).varying(site.value)[rows])


def _refitted(before: Projections, after: Projections, mixed: Tensor, maps: Tensor) -> Projections:
    """Return `after` with the output projection corrected by least squares, for all heads at once.

    The correction is what is held back, so that nothing changes where nothing is missing.
    """
    gram = (mixed / mixed[-1, -1]).to(maps)
    whole = torch.block_diag(*maps, maps.new_ones(1, 1))
    missing = _columns(before) - whole.mT @ _columns(after)
    weighted = whole @ gram
    correction = solve(weighted @ whole.mT, weighted @ missing)
    columns = (_columns(after) + correction).to(after.out)
    out = columns[:-1].unflatten(0, after.out.shape[:2])
    return after.with_(out=out, out_bias=columns[-1])


def _columns(site: Projections) -> Tensor:
    bias = site.out.new_zeros(site.geometry.out) if site.out_bias is None else site.out_bias
    return torch.cat([site.out.flatten(0, 1), bias[None]]).double()
