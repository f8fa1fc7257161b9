"""Page selection for decoding: bounds tell which pages of the cache can matter to a query."""

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.selection._check import check_count, check_positions
from heedful.selection._edges import Edges


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
    ) -> Bool[Tensor, "batch heads 1 pages"]:
        """Choose the pages with the highest bounds for one query.

        Args:
            query: What is looked for: one query.
            count: Pages to choose for each head; all if there are no more.
            sinks: Pages among these that are chosen at the beginning.
            recent: And at the end.

        Returns:
            True for the chosen pages, for `Mask.blocks(grid, block=page)`.

        Raises:
            ShapeError: `query` does not fit the keys, or holds several queries.
            ConfigError: `sinks` or `recent` is negative, or `count` is below 1 or below their sum.
        """
        check_count("sinks", sinks, least=0)
        check_count("recent", recent, least=0)
        if count < max(1, sinks + recent):
            raise ConfigError(
                f"count must be at least 1 and sinks + recent, got {count=}, {sinks=}, {recent=}"
            )
        bounds = self.bounds(query)
        if query.shape[2] != 1:
            raise ShapeError(f"query must have length 1, got {query.shape[2]}")
        pages = len(self)
        bounds[..., :sinks] = bounds[..., max(0, pages - recent) :] = float("inf")
        chosen = bounds.topk(min(count, pages), sorted=False).indices
        return torch.zeros_like(bounds, dtype=torch.bool).scatter_(-1, chosen, True)
