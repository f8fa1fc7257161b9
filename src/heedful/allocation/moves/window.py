"""Let a site see the near only."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_mixing, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Mixing, Projections


@final
@dataclass(frozen=True, kw_only=True)
class Window(Move):
    """See `window` positions on either side, the own one included, and the first ones behind it.

    A causal site stays so: its mask goes on hiding what is ahead. For sites that look at their own
    text, since places of two texts mean nothing to each other.

    Args:
        window: How far a query looks, itself included.
        sinks: First positions that are seen at any distance.

    Raises:
        ConfigError: `window` is below 1, `sinks` is negative, or one is far too large.

    Source:
        Beltagy et al. 2020, arXiv:2004.05150 (window).
        Xiao et al. 2023, arXiv:2309.17453 (sinks).

    Cost:
        Saves scores and sums beyond `2 * window - 1 + sinks` keys a query, `window + sinks` where
        it is causal: nothing in texts that are shorter. The projections stay.
    """

    window: int
    sinks: int = 0

    def __post_init__(self) -> None:
        check_number("window", self.window)
        check_number("sinks", self.sinks, least=0)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "window", moments, own_text=True)
        settings = {"window": self.window, "ahead": self.window - 1, "sinks": self.sinks}
        return site.with_(mixing=Mixing(name="window", settings=settings))
