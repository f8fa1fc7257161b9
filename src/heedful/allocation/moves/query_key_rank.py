"""Let queries and keys meet in fewer dimensions."""

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_finite, check_heads, check_number, check_products
from heedful.allocation.moves._metric import factors, inputs, mapped
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Projections
from heedful.errors import ConfigError, UnsupportedError


@final
@dataclass(frozen=True, kw_only=True)
class QueryKeyRank(Move):
    """Compute scores from the `rank` directions of each key head that matter most to them.

    The scores `q . k` come as close as this rank allows, in the mean square over the queries and
    the keys that went through. What all scores of a query have in common does not count, since the
    softmax does not see it. Query heads that share a key head share the directions.

    Where positions turn pairs of components only whole pairs can go, the same ones for all heads:
    those stay whose part in the scores is largest in the mean square, at random positions.

    Args:
        rank: How many dimensions stay.
        pairs: Which pairs stay where positions turn them, by the numbers that `Rotary` has for
            them; ascending. Empty means: choose. Plans need a choice that was made: `resolved`.

    Raises:
        ConfigError: `rank` is below 1 or far too large, or `pairs` are not `rank / 2` ascending
            numbers.

    Source:
        Meng et al. 2024, arXiv:2411.17426 (low rank of queries and keys together, head by head;
        there without data). Wang et al. 2024, arXiv:2403.07378 (whitening by the data).

    Cost:
        Saves the share of the query and key projections, of the scores and of stored keys.
    """

    rank: int
    pairs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_number("rank", self.rank)
        pairs = list(self.pairs)
        if pairs and (pairs != sorted(set(pairs)) or pairs[0] < 0 or 2 * len(pairs) != self.rank):
            raise ConfigError(
                f"pairs must be half as many ascending numbers as rank {self.rank}, got {pairs}"
            )

    def resolved(self, site: Projections, moments: Moments | None) -> "QueryKeyRank":
        self._check(site)
        check_finite(site, moments)
        if site.rotary is None or self.pairs:
            return self
        matters = _importance(site, moments)
        kept = matters.argsort(descending=True, stable=True)[: self.rank // 2].tolist()
        return replace(self, pairs=tuple(sorted(site.rotary.pairs[place] for place in kept)))

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        pairs = self.resolved(site, moments).pairs
        if site.rotary is not None:
            places = [site.rotary.pairs.index(pair) for pair in pairs]
            kept = [*places, *(place + len(site.rotary.pairs) for place in places)]
            return site.with_(
                query=site.query[:, kept],
                key=site.key[:, kept],
                query_bias=None if site.query_bias is None else site.query_bias[:, kept],
                key_bias=None if site.key_bias is None else site.key_bias[:, kept],
                rotary=replace(site.rotary, pairs=pairs),
            )
        query, key = _moments(site, moments)
        both = [factors(*pair, rank=self.rank) for pair in zip(query, key, strict=True)]
        for_keys = torch.stack([of_key for _, of_key in both])
        for_queries = torch.stack([of_query for of_query, _ in both])
        for_queries = for_queries.repeat_interleave(site.groups, dim=0)
        return site.with_(
            query=mapped(for_queries, site.query),
            key=mapped(for_keys, site.key),
            query_bias=None if site.query_bias is None else mapped(for_queries, site.query_bias),
            key_bias=None if site.key_bias is None else mapped(for_keys, site.key_bias),
        )

    def _check(self, site: Projections) -> None:
        check_heads(site)
        check_products(site)
        if site.normed:
            raise UnsupportedError(
                "queries and keys must meet as projected, got norms behind the projections"
            )
        dim = site.geometry.dim
        if self.rank >= dim:
            raise UnsupportedError(f"rank must be below {dim} here, got {self.rank}")
        if site.rotary is None:
            if self.pairs:
                raise UnsupportedError(
                    f"pairs must be left out where positions turn none, got {list(self.pairs)}"
                )
            return
        present = site.rotary.pairs
        if 2 * len(present) != dim:
            raise UnsupportedError(
                f"positions must turn all {dim} components, got {len(present)} pairs"
            )
        if self.rank % 2:
            raise UnsupportedError(f"rank must be even where positions turn pairs, got {self.rank}")
        if not set(self.pairs) <= set(present):
            raise UnsupportedError(f"pairs must be some of {list(present)}, got {list(self.pairs)}")


def _moments(site: Projections, moments: Moments | None) -> tuple[Tensor, Tensor]:
    """Return second moments of the queries of each key head, summed over heads, and of its keys."""
    looking = inputs(None if moments is None else moments.query, site.query)
    context = inputs(None if moments is None else moments.context, site.key)
    query = looking.whole(site.query, site.query_bias).unflatten(0, (-1, site.groups)).sum(1)
    if site.rotary is None:
        return query, context.varying(site.key)
    return query, context.whole(site.key, site.key_bias)


def _importance(site: Projections, moments: Moments | None) -> Tensor:
    """Return the mean square of the part that each pair has in the scores, up to a factor."""
    query, key = (
        moment.diagonal(dim1=-2, dim2=-1).unflatten(1, (2, -1)).sum(1)
        for moment in _moments(site, moments)
    )
    return (query * key).sum(0)
