"""Drop a whole site: the most that can be saved there, and the most direct way to save it."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_heads, check_moments
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Projections


@final
@dataclass(frozen=True, kw_only=True)
class DropSite(Move):
    """Give the same vector for every query: the mean of what the site gave, where that is known.

    Source:
        He et al. 2024, arXiv:2406.15786 (whole attention layers can go).

    Cost:
        Saves all of the site.
    """

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_heads(site)
        check_moments(moments)
        bias = site.out.new_zeros(site.geometry.out) if site.out_bias is None else site.out_bias
        if moments is not None and moments.mixed is not None:
            mean = (moments.mixed[-1, :-1] / moments.rows).to(site.out)
            bias = bias + mean @ site.out.flatten(0, 1)
        return site.with_(
            query=site.query[:0],
            key=site.key[:0],
            value=site.value[:0],
            out=site.out[:0],
            query_bias=None,
            key_bias=None,
            value_bias=None,
            out_bias=bias,
            gate=None,
            gate_bias=None,
            origin=(),
            mixing=None,
            rotary=None,
        )
