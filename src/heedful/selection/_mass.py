"""From scores of cells to the share of attention of each block, a chunk of rows at a time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from heedful.selection._sight import Sight

AT_ONCE = 2**23  # scores held at once, in float32 32 MiB
ROWS = 256  # at once, where products of fewer would be slower
ROWS_OF_BAND = 128  # where fewer rows leave out more of what a band hides


def block_mass(
    query_cells: Callable[[slice], Tensor],
    key_cells: Tensor,
    sight: Sight,
    *,
    heads: int,
    ratio: int,
    scale: float,
) -> Tensor:
    """Score all cells against each other, and sum the softmax over blocks of `ratio x ratio` cells.

    Args:
        query_cells: `(batch, heads, rows, width)`, the chosen cells of queries.
        key_cells: `(batch, kv_heads, cells, width)`.
        sight: Which cells see each other, and how many positions they hold.
        heads: Query heads.
        ratio: Cells per block, on both axes.
        scale: Factor of the products.
    """
    batch, count = len(key_cells), sight.queries.count
    blocks = -(-count // ratio), -(-sight.keys.count // ratio)
    mass = torch.zeros(batch, heads, *blocks, device=sight.device)
    if not sight.keys.count:
        return mass
    step = _rows(batch * heads * sight.keys.count, sight, ratio)
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        columns = sight.columns(rows)
        columns = slice(columns.start // ratio * ratio, columns.stop)
        if columns.start >= columns.stop:
            continue
        scores = _scores(query_cells(rows), key_cells[:, :, columns], scale)
        visible = sight.visible(rows, columns)
        shares = _shares(scores, visible, sight, columns)
        part = _by_row_of_blocks(_by_block(shares, ratio), visible, sight, rows, ratio)
        across = slice(columns.start // ratio, columns.start // ratio + part.shape[3])
        mass[:, :, start // ratio : start // ratio + part.shape[2], across] = part
    return mass


def _rows(scores_of_a_row: int, sight: Sight, ratio: int) -> int:
    """Rows at once: whole blocks of them."""
    banded = sight.columns(slice(0, 1)).stop < sight.keys.count
    rows = min(ROWS_OF_BAND if banded else ROWS, AT_ONCE // scores_of_a_row)
    return max(1, rows // ratio) * ratio


def _scores(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The products in the dtype of both, and heads that share a key/value head as more rows."""
    batch, heads, rows, width = query.shape
    kv_heads, columns = key.shape[1:3]
    if key.dtype != torch.float32:
        key = key.contiguous()  # torch's product of half precision is slow on slices
    products = torch.baddbmm(
        query.new_zeros(1, 1, 1),
        query.reshape(batch * kv_heads, heads // kv_heads * rows, width),
        key.reshape(batch * kv_heads, columns, width).mT,
        beta=0,
        alpha=scale,
    )
    return products.view(batch, heads, rows, columns).float()


def _shares(scores: Tensor, visible: Tensor | None, sight: Sight, columns: slice) -> Tensor:
    """Softmax over the visible cells, each weighed by the number of its keys."""
    if sight.keys.left and columns.stop == sight.keys.count:
        scores[..., -1] += math.log(sight.keys.left / sight.keys.width)
    if visible is None:
        return scores.softmax(-1)
    # the lowest number and not -inf, so that a row that sees nothing is no NaN
    return torch.where(visible, scores, torch.finfo(scores.dtype).min).softmax(-1)


def _by_block(shares: Tensor, ratio: int) -> Tensor:
    """Sum over the cells of each block of keys."""
    missing = -shares.shape[3] % ratio
    if missing:
        shares = torch.nn.functional.pad(shares, (0, missing))
    return shares if ratio == 1 else shares.unflatten(3, (-1, ratio)).sum(4)


def _by_row_of_blocks(
    shares: Tensor, visible: Tensor | None, sight: Sight, rows: slice, ratio: int
) -> Tensor:
    """The mean over the queries of each block that see anything."""
    weight = sight.queries.sizes(rows, sight.device).to(shares.dtype)[:, None]
    if visible is not None:
        weight = weight * visible.any(3, keepdim=True)
    missing = -shares.shape[2] % ratio
    if missing:
        shares = torch.nn.functional.pad(shares, (0, 0, 0, missing))
        weight = torch.nn.functional.pad(weight, (0, 0, 0, missing))
    weight = weight.unflatten(-2, (-1, ratio))
    total = weight.sum(-2).clamp(min=1.0)
    return (shares.unflatten(2, (-1, ratio)) * weight).sum(3) / total
