"""Let the projections of a site multiply in few bits."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import check_heads
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Projections
from heedful.nn.low_precision import Precision, check_precision


@final
@dataclass(frozen=True, kw_only=True)
class LowPrecision(Move):
    """Put a `LowPrecisionLinear` in the place of each projection, with the numbers that it has.

    Args:
        precision: "bf16" or "int8".

    Raises:
        ConfigError: There is no such precision.

    Source:
        Jacob et al. 2018, arXiv:1712.05877, section 2; and see `LowPrecisionLinear`.

    Cost:
        Saves time in wide projections of many rows, as `LowPrecisionLinear` says; scores and sums
        stay as they are. The numbers are trained in full, and saved as they multiply.
    """

    precision: Precision

    def __post_init__(self) -> None:
        check_precision(self.precision)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_heads(site)
        return site.with_(precision=self.precision)
