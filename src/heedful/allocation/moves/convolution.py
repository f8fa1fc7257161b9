"""Put a convolution in the place of a site."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import SIZES, check_mixing, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.moves.drop_site import DropSite
from heedful.allocation.projections import Mixing, Projections
from heedful.errors import ConfigError, UnsupportedError


@final
@dataclass(frozen=True, kw_only=True)
class Convolution(Move):
    """Mix neighbours by a gated depthwise convolution, where a site looked at its own text.

    At first it gives what a dropped site gives: the same vector for every query. Training must
    follow, and until then this is never better than `DropSite`.

    Args:
        kernel: Number of taps, half of which look ahead where the mask allows. Odd.

    Raises:
        ConfigError: `kernel` is even, below 1 or far too large.

    Source:
        Wu et al. 2019, arXiv:1901.10430, section 3 (gated lightweight convolution).

    Cost:
        Saves all scores and sums, and one of the four projections; takes `kernel` products for each
        number of the output.
    """

    kernel: int

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd and at least 1, got {self.kernel}")
        check_number("kernel", self.kernel, most=SIZES)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "local_convolution", moments, own_text=True)
        width, context, out = site.geometry.width, site.geometry.context, site.geometry.out
        if not width == context == out:
            raise UnsupportedError(
                f"a convolution must get and give vectors of one width, got {width=}, {context=}, "
                f"{out=}"
            )
        mixing = Mixing(name="local_convolution", settings={"kernel": self.kernel})
        return DropSite().edit(site, moments).with_(mixing=mixing)
