"""Page selection for decoding: bounds tell which pages of the cache can matter to a query."""

from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.selection._edges import Edges
from heedful.selection._shapes import check_count, check_positions


@final
class Pages:
    """The largest and the smallest keys of every page of a cache, coordinate by coordinate.

    Grows along with the cache: room doubles, so appending one key at a time costs O(1) each.
    The last page may be partly filled. No gradient goes through it.

    ```python
    pages = Pages.of(key)
    grid = pages.top(query, 128)  # one query, the next token's
    heedful.attend(query, key, value, mask=Mask.blocks(grid, block=pages.page))
    pages.extend(next_key)
    ```

    Args:
        page: Keys per page.

    Raises:
        ConfigError: `page < 1`.

    Source:
        Tang et al. 2024, arXiv:2406.10774.

    Cost:
        Two keys per page; at most twice that after keys were appended.
    """

    def __init__(self, page: int = 16) -> None:
        self._edges = Edges(page)

    @classmethod
    def of(cls, key: Float[Tensor, "batch kv_heads length dim"], page: int = 16) -> "Pages":
        """The pages of a cache that holds these keys.

        Raises:
            ShapeError: `key` is not 4-D.
            ConfigError: `key` is not floating-point, or `page < 1`.
        """
        pages = cls(page)
        pages.extend(key)
        return pages

    def __len__(self) -> int:
        return self._edges.pages

    @property
    def page(self) -> int:
        """Keys per page."""
        return self._edges.page

    @property
    def length(self) -> int:
        """Keys so far."""
        return self._edges.length

    @property
    def largest(self) -> Float[Tensor, "batch kv_heads pages dim"]:
        """Of each coordinate the largest value on each page."""
        return self._edges.stored().chunk(2, 3)[0]

    @property
    def smallest(self) -> Float[Tensor, "batch kv_heads pages dim"]:
        """Of each coordinate the smallest value on each page."""
        return self._edges.stored().chunk(2, 3)[1]

    def extend(self, key: Float[Tensor, "batch kv_heads length dim"]) -> None:
        """Take up keys that follow those before.

        Raises:
            ShapeError: `key` is not 4-D, or differs from the keys before in batch, heads or dim.
            ConfigError: `key` is not floating-point.
        """
        self._edges.append(key)

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Keep these batch rows, in this order; a row may be taken more than once."""
        self._edges.select(rows)

    @torch.no_grad()
    def bounds(
        self, query: Float[Tensor, "batch heads queries dim"]
    ) -> Float[Tensor, "batch heads queries pages"]:
        """Bound the score of every key of a page: `sum_d max(q_d largest_d, q_d smallest_d)`.

        Args:
            query: What is looked for.

        Returns:
            For each query no less than `query . key` of any key on the page, without a scale, but
            for rounding in the dtype of the keys.

        Raises:
            ShapeError: `query` is not 4-D, does not fit the keys, or there are no keys yet.
            ConfigError: `query` is not floating-point.
        """
        check_positions("query", query)
        edges = self._edges.stored()
        batch, heads, queries, dim = query.shape
        kv_heads = edges.shape[1]
        if len(edges) != batch or heads % kv_heads or edges.shape[3] != 2 * dim:
            stored = (len(edges), kv_heads, self.length, edges.shape[3] // 2)
            raise ShapeError(
                "query must fit the keys in batch, heads and dim, "
                f"got {tuple(query.shape)} for keys of shape {stored}"
            )
        query = query.to(edges.dtype)
        # a positive coordinate meets the largest key, a negative one the smallest
        signed = torch.cat((query.clamp(min=0), query.clamp(max=0)), 3)
        rows = signed.reshape(batch * kv_heads, heads // kv_heads * queries, 2 * dim)
        products = edges.flatten(0, 1) @ rows.mT  # this way round half precision is fast on CPU
        return products.mT.reshape(batch, heads, queries, len(self))

    def top(
        self,
        query: Float[Tensor, "batch heads 1 dim"],
        count: int,
        *,
        sinks: int = 1,
        recent: int = 1,
        shown: Bool[Tensor, "#batch #heads 1 pages"] | None = None,
        sure: Bool[Tensor, "#batch #heads 1 pages"] | None = None,
    ) -> Bool[Tensor, "batch heads 1 pages"]:
        """Choose the pages with the highest bounds for one query.

        Args:
            query: What is looked for: one query.
            count: Pages to choose for each head; all if there are no more.
            sinks: Pages among these that are chosen at the beginning.
            recent: And at the end.
            shown: True for the pages that may be chosen, whatever others hold; `None` means all.
            sure: True for those of them that are chosen first, even where they are more than count.

        Returns:
            True for the chosen pages, for `Mask.blocks(grid, block=page)`.

        Raises:
            ShapeError: `query` does not fit the keys or holds several queries, or `shown` or `sure`
                does not fit the pages.
            ConfigError: `sinks` or `recent` is negative, or `count` is below 1 or below their sum.
        """
        _check_choice(count, sinks, recent)
        bounds = self.bounds(query)
        if query.shape[2] != 1:
            raise ShapeError(f"query must have length 1, got {query.shape[2]}")
        if shown is None:
            shown = bounds.new_ones(1, 1, 1, len(self), dtype=torch.bool)
        first = _first(shown, sure, bounds, sinks, recent)
        bounds.masked_fill_(first, float("inf")).masked_fill_(~shown, float("-inf"))
        chosen = bounds.topk(min(count, len(self)), sorted=False).indices
        return first.expand_as(bounds).scatter(-1, chosen, True) & shown


def _check_choice(count: int, sinks: int, recent: int) -> None:
    check_count("sinks", sinks, least=0)
    check_count("recent", recent, least=0)
    if count < max(1, sinks + recent):
        raise ConfigError(
            f"count must be at least 1 and sinks + recent, got {count=}, {sinks=}, {recent=}"
        )


def _check_pages(name: str, chosen: Tensor, bounds: Tensor) -> None:
    fits = chosen.ndim == 4 and chosen.shape[2:] == bounds.shape[2:]
    if not fits or any(chosen.shape[i] not in (1, bounds.shape[i]) for i in (0, 1)):
        raise ShapeError(
            f"{name} must be of shape (#batch, #heads, 1, pages) for {tuple(bounds.shape)}, "
            f"got {tuple(chosen.shape)}"
        )


def _first(shown: Tensor, sure: Tensor | None, bounds: Tensor, sinks: int, recent: int) -> Tensor:
    """Pages that are chosen whatever their bounds: both ends of those shown, and what is sure."""
    _check_pages("shown", shown, bounds)
    place = shown.cumsum(-1)
    ends = shown & ((place <= sinks) | (place > place[..., -1:] - recent))
    if sure is None:
        return ends
    _check_pages("sure", sure, bounds)
    return ends | sure
