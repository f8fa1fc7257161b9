"""Let a site read the blocks of keys that carry most of its attention."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import SIZES, check_mixing, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Mixing, Projections
from heedful.errors import ConfigError


@final
@dataclass(frozen=True, kw_only=True)
class SelectBlocks(Move):
    """Choose blocks of keys by an estimate in each call; few keys and few queries are met in full.

    In a causal site the choice for a query also depends on later ones of its block: a loss over a
    whole text is then measured a little too well, while writing step by step reads all keys.

    Args:
        share: Of the estimated attention, how much to reach; above 0 and at most 1, where all of
            it is the attention that there was.
        block: Positions per block.
        least: Fewest blocks of keys among which to choose.

    Raises:
        ConfigError: `share` is not above 0 and at most 1, or `block` or `least` is below 1 or
            far too large.

    Source:
        Xu et al. 2025, arXiv:2503.16428.

    Cost:
        Saves scores and sums of the blocks that are not read, and takes the estimate: at least a
        sixteenth of all scores. Nothing is saved in texts of fewer than `least` blocks, nor where
        attention is spread widely. The projections stay.
    """

    share: float
    block: int = 64
    least: int = 24

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share must be above 0 and at most 1, got {self.share}")
        check_number("block", self.block, most=SIZES)
        check_number("least", self.least)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "selected_blocks", moments, own_text=False)
        return site.with_(mixing=Mixing(name="selected_blocks", settings=self.settings()))
