"""Plain attention that reads only some pages of its cache when decoding, as a mechanism."""

from typing import final

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn._settings import check_sizes
from heedful.nn.cache import KeyValueCache
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


@final
class PagedDecoding(Mechanism):
    """Let a single query read those pages of a cache on which a score could be highest.

    Everything else is plain attention, exactly: training, a pass over a text, what is called
    without a cache, and caches of no more than `pages` pages. Every query head chooses for itself.

    Pages are counted among those that the mask shows, and one of which it hides some keys is always
    read, as far as it is shown: what is hidden decides nothing, and with `recent` above 0 a text
    gives the same with padding behind it and without. The authors leave the first two layers of a
    model as they are; that is up to whoever makes the modules.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        pages: Pages that a query reads.
        page: Keys per page.
        sinks: Pages among these that are read at the beginning.
        recent: And at the end.

    Raises:
        ConfigError: `page < 1`, `sinks` or `recent` is negative, or `pages` is below 1 or below
            their sum.

    Source:
        Tang et al. 2024, arXiv:2406.10774.

    Cost:
        Of a step: two products a page to choose, and attention to `pages * page` keys; a mask that
        hides something is looked up for every key. Two keys more are stored for every page.
    """

    def __init__(
        self,
        *,
        heads: int,
        dim: int,
        pages: int = 64,
        page: int = 16,
        sinks: int = 1,
        recent: int = 1,
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(page=page)
        if sinks < 0 or recent < 0:
            raise ConfigError(f"sinks and recent must not be negative, got {sinks=}, {recent=}")
        if pages < max(1, sinks + recent):
            raise ConfigError(
                f"pages must be at least 1 and sinks + recent, got {pages=}, {sinks=}, {recent=}"
            )
        self.pages, self.page, self.sinks, self.recent = pages, page, sinks, recent

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        return scaled_dot_attention(query, key, value, mask=mask)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        return scaled_dot_weights(query, key, mask=mask)

    def narrow(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        mask: Mask | None,
        cache: KeyValueCache,
    ) -> Mask | None:
        batch, heads, queries, _ = query.shape
        if queries != 1 or cache.length <= self.pages * self.page:
            return mask
        seen = None
        if mask is not None:
            mask = mask.within(1, cache.length)
            seen = mask.to_bool(1, cache.length, batch=batch, heads=heads, device=query.device)
        shown, partly = (None, None) if seen is None else self._shown(seen, cache.length)
        grid = cache.pages(self.page).top(
            query, self.pages, sinks=self.sinks, recent=self.recent, shown=shown, sure=partly
        )
        read = Mask.blocks(grid, block=self.page)
        return read if mask is None else mask & read

    def _shown(
        self, seen: Bool[Tensor, "#batch #heads 1 #keys"], keys: int
    ) -> tuple[Bool[Tensor, "#batch #heads 1 pages"], Bool[Tensor, "#batch #heads 1 pages"]]:
        """Which pages are shown, and which of them in part."""
        seen = seen.expand(-1, -1, -1, keys)
        missing = (0, -keys % self.page)  # of the last page, which is whole without them
        shown = functional.pad(seen, missing).unflatten(3, (-1, self.page)).any(4)
        whole = functional.pad(seen, missing, value=True).unflatten(3, (-1, self.page)).all(4)
        return shown, shown.logical_and(~whole)
