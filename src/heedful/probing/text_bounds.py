"""Where the text is among the queries and keys of a call: padding, and empty slots of a cache."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.mask import Mask

ROWS = 256  # rows of a mask that are looked at together


class TextBounds(NamedTuple):
    """Where the text is.

    Args:
        padding: `(batch, rows)`: rows that only stand for padding.
        start: `(batch,)`: which key is the first of the text. Below 0 where a cache has dropped so
            many. `None`: nobody can tell.
        end: How many keys there are; behind them is the empty room of a cache.
    """

    padding: Tensor
    start: Tensor | None
    end: Tensor


def of_one_text(query: Tensor, key: Tensor) -> bool:
    """Are both made of one text? Many layers make them by two calls of the same norm."""
    return query is key or (query.shape == key.shape and torch.equal(query, key))


def text_bounds_of(
    blocks: Iterable[tuple[Tensor, Tensor]], *, batch: int, queries: int, end: Tensor
) -> TextBounds:
    """Tell from who is seen where the text is, when queries look at their own keys, the last ones.

    A row is padding when nobody sees its key, while other rows see their own. The text begins at
    the first key that anybody sees.

    Args:
        blocks: The numbers of some rows, and whom they see: `(1 or batch, 1 or heads, 1 or rows,
            keys)`, for all rows in order.
        batch: Batch rows.
        queries: Query rows.
        end: How many keys there are.
    """
    seen: Tensor | None = None
    own: list[Tensor] = []
    for rows, visible in blocks:
        any_head = visible.any(1).expand(batch, len(rows), -1)
        here = any_head.any(1)
        seen = here if seen is None else seen | here
        place = (rows + end - queries).clamp(0, visible.shape[3] - 1)
        own.append(any_head.gather(2, place.expand(batch, -1)[..., None])[..., 0])
    if seen is None:
        return TextBounds(torch.zeros(batch, 0, dtype=torch.bool, device=end.device), None, end)
    to_self = torch.cat(own, 1)
    places = (torch.arange(queries, device=seen.device) + end - queries).clamp(0, seen.shape[1] - 1)
    unseen = ~seen[:, places]
    first = seen.to(torch.uint8).argmax(1)
    return TextBounds(unseen & to_self.any(1, keepdim=True), first, end)


def end_of(visible: Tensor, queries: int) -> Tensor:
    """How many keys there are before the empty room: as many as the last query may see.

    Args:
        visible: `(1 or batch, 1 or heads, 1 or rows, keys)`.
        queries: Query rows; where there are as many keys, none is room.
    """
    keys = visible.shape[3]
    whole = torch.tensor(keys, device=visible.device)
    if queries >= keys:
        return whole
    last = visible[:, :, -1].any(1).any(0)
    reached = (last * torch.arange(1, keys + 1, device=last.device)).amax()
    return torch.where(reached > 0, reached, whole)


def seen_by(
    mask: Mask, *, batch: int, heads: int, queries: int, keys: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Whom a mask lets each row see, some rows at a time."""
    for start in range(0, queries, ROWS):
        rows = torch.arange(start, min(start + ROWS, queries), device=device)
        visible = mask.at(
            torch.arange(batch, device=device)[:, None, None, None],
            torch.arange(heads, device=device)[:, None, None],
            rows[:, None],
            torch.arange(keys, device=device),
            queries=queries,
            keys=keys,
        )
        yield rows, visible[(None,) * (4 - visible.ndim)].expand(-1, -1, -1, keys)


def seen_in(visible: Iterable[Tensor], added: Iterable[Tensor], keys: int) -> Tensor | None:
    """Whom rows see by tensors: what is true in all of the first, and not lowest in the others."""
    parts = [*visible, *(bias > torch.finfo(bias.dtype).min for bias in added)]
    whole: Tensor | None = None
    for part in parts:
        part = part.expand(*part.shape[:3], keys)
        whole = part if whole is None else whole & part
    return whole
