"""Let every query of a site keep its best keys only."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_mixing, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Mixing, Projections


@final
@dataclass(frozen=True, kw_only=True)
class TopKKeys(Move):
    """Softmax over the largest scores of a query only.

    Args:
        keys: How many keys a query keeps.

    Raises:
        ConfigError: `keys` is below 1 or far too large.

    Source:
        Zhao et al. 2019, arXiv:1912.11637.

    Cost:
        Saves no time: all scores are computed, and sorted besides. It shows how few keys a site
        needs.
    """

    keys: int

    def __post_init__(self) -> None:
        check_number("keys", self.keys)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "top_k", moments, own_text=False)
        settings = {"kept": self.keys, "straight_through": False}
        return site.with_(mixing=Mixing(name="top_k", settings=settings))
