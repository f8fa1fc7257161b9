"""Keep some heads of a site and drop the others."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_heads, check_moments, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Projections
from heedful.allocation.refit import refit
from heedful.errors import ConfigError, UnsupportedError


@final
@dataclass(frozen=True, kw_only=True)
class KeepHeads(Move):
    """Keep these heads; where it is known what went through, let them stand in for the others.

    With one head it is what remains of multi-head attention as single-head attention. Where query
    heads share key/value heads, as many must stay of each that stays.

    Args:
        heads: Which heads stay, as they are numbered now; ascending.

    Raises:
        ConfigError: No head is named, one is negative or far too large, or they do not
            ascend.

    Source:
        Michel et al. 2019, arXiv:1905.10650 (heads can go); Voita et al. 2019, arXiv:1905.09418.
        Kwon et al. 2022, arXiv:2204.09656 (the rest is refitted by least squares; there per head
        one factor, here the whole output projection).

    Cost:
        Saves the dropped heads' share of all four projections, scores and sums.
    """

    heads: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.heads or min(self.heads) < 0 or list(self.heads) != sorted(set(self.heads)):
            raise ConfigError(f"heads must be ascending numbers of heads, got {list(self.heads)}")
        check_number("heads", self.heads[-1], least=0)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_heads(site)
        check_moments(moments)
        heads = site.geometry.heads
        if self.heads[-1] >= heads:
            raise UnsupportedError(f"heads must be below {heads} here, got {list(self.heads)}")
        sources = [head // site.groups for head in self.heads]
        shared = sorted(set(sources))
        if len({sources.count(source) for source in shared}) > 1:
            raise UnsupportedError(
                "as many heads must stay of each key/value head that stays, "
                f"got {list(self.heads)} with {site.groups} heads to each"
            )
        rows = list(self.heads)
        kept = site.with_(
            query=site.query[rows],
            query_bias=None if site.query_bias is None else site.query_bias[rows],
            key=site.key[shared],
            key_bias=None if site.key_bias is None else site.key_bias[shared],
            value=site.value[shared],
            value_bias=None if site.value_bias is None else site.value_bias[shared],
            out=site.out[rows],
            gate=None if site.gate is None else site.gate[rows],
            gate_bias=None if site.gate_bias is None else site.gate_bias[rows],
            origin=tuple(site.origin[row] for row in rows),
        )
        size = site.geometry.value_dim
        columns = [head * size + i for head in rows for i in range(size)]
        return refit(site, kept, moments, columns)
