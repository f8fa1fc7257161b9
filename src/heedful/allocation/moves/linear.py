"""Let a site weigh keys by products of learned features, in linear time."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import SIZES, check_mixing, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Mixing, Projections


@final
@dataclass(frozen=True, kw_only=True)
class LinearAttention(Move):
    """Replace the softmax over keys by one over learned features of queries and of keys.

    The two maps of each head start as the identity, which is far from what there was: training must
    follow. They belong to the heads as they are then, so the site takes no further moves in a model
    that was made so; in one plan, moves before this one and after it do go together.

    Args:
        features: Columns of a map; there are twice as many features.

    Raises:
        ConfigError: `features` is below 1 or far too large.

    Source:
        Zhang et al. 2024, arXiv:2402.04347. Unlike there the maps are not fitted to the weights of
        the softmax first, but trained with the rest.

    Cost:
        Time and memory grow with the length, `2 * features * value_dim` products for each query
        and each key of a head, in place of `dim + value_dim` for each pair. The projections stay.
    """

    features: int

    def __post_init__(self) -> None:
        check_number("features", self.features, most=SIZES)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "hedgehog", moments, own_text=False)
        return site.with_(mixing=Mixing(name="hedgehog", settings={"features": self.features}))
