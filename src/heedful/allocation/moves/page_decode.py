"""Let a site read only some pages of its cache while it writes."""

from dataclasses import dataclass
from typing import final

from heedful.allocation.moments import Moments
from heedful.allocation.moves._check import SIZES, check_mixing, check_number
from heedful.allocation.moves.base import Move
from heedful.allocation.projections import Mixing, Projections
from heedful.nn.mechanisms.paged_decoding import PagedDecoding


@final
@dataclass(frozen=True, kw_only=True)
class PageDecode(Move):
    """Step by step, read the pages of the cache on which a score could be highest, and no others.

    Training, a pass over a whole text and short caches stay as they are, so a loss over a text says
    nothing of what is lost: judge by what is written. Also for sites that look at another text,
    whose cache is filled once. Which pages are chosen depends on the components of queries and
    keys: moves that write these in another basis come before.

    Args:
        pages: Pages that a query reads; no more than that in the cache, and nothing changes.
        page: Keys per page.
        sinks: Pages among these that are read at the beginning.
        recent: And at the end.

    Raises:
        ConfigError: `page < 1`, `sinks` or `recent` is negative, `pages` is below 1 or below
            their sum, or one is far too large.

    Source:
        Tang et al. 2024, arXiv:2406.10774.

    Cost:
        Of a step it saves scores and sums of the pages that are not read, and takes two products
        for every page. The projections stay, and the cache grows by two keys for every page. On CPU
        choosing takes more than it saves at 4,096 keys, and a quarter of the step stays at 32,768
        (`benchmarks/page_decoding.py`).
    """

    pages: int = 64
    page: int = 16
    sinks: int = 1
    recent: int = 1

    def __post_init__(self) -> None:
        PagedDecoding(heads=1, dim=1, **self.settings())  # refuses what cannot be
        for name in ("pages", "sinks", "recent"):
            check_number(name, getattr(self, name), least=0)
        check_number("page", self.page, most=SIZES)

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        check_mixing(site, "paged_decoding", moments, own_text=False)
        return site.with_(mixing=Mixing(name="paged_decoding", settings=self.settings()))
