"""Neighbourhood attention: scaled dot products with the nearest places of a grid."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._band import masked_shares
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import share_heads, widen
from heedful.ops.scaled_dot import scaled_dot_weights


def neighbourhood_weights(
    query: Float[Tensor, "batch heads places dim"],
    key: Float[Tensor, "batch kv_heads places dim"],
    *,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads places places"]:
    """Weigh the keys by `softmax_j(scale * query_i . key_j)`, over the places near query `i`.

    The places are those of a grid, one row after the other. On every axis a query at `x` meets the
    `window` places from `clamp(x - window // 2, 0, size - window)` on, as `Mask.neighbourhood`
    says: at a border the window shifts inwards, so that every query meets equally many keys.

    Args:
        query: What is looked for, one at each place.
        key: What is looked at, one at each place; `kv_heads` divides `heads`.
        shape: Size of each axis of the grid; the last one runs fastest.
        window: Places met on each axis. Odd; an axis that is shorter is met as a whole.
        mask: Which of these keys a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or the grid does not fit them.
        ConfigError: An axis of the grid is below 1, `window` has not one odd size per axis, a
            tensor is not floating-point, or a length of the mask exceeds the number of places.

    Source:
        Hassani et al. 2022, arXiv:2204.07143. Without the bias that the paper adds to the scores.

    Cost:
        The whole matrix of `places x places` weights a head, because it is what is looked at.
        Exact.
    """
    near = Mask.neighbourhood(shape, window)
    return scaled_dot_weights(query, key, mask=near if mask is None else near & mask, scale=scale)


@hidden_kept_out
def neighbourhood_attention(
    query: Float[Tensor, "batch heads places dim"],
    key: Float[Tensor, "batch kv_heads places dim"],
    value: Float[Tensor, "batch kv_heads places value_dim"],
    *,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads places value_dim"]:
    """Sum `value` by the weights of `neighbourhood_weights`, without the matrix of all scores.

    Args:
        query: What is looked for, one at each place.
        key: What is looked at, one at each place; `kv_heads` divides `heads`.
        value: What is returned, one at each place.
        shape: Size of each axis of the grid; the last one runs fastest.
        window: Places met on each axis. Odd; an axis that is shorter is met as a whole.
        mask: Which of these keys a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together, or the grid does not fit them.
        ConfigError: An axis of the grid is below 1, `window` has not one odd size per axis, a
            tensor is not floating-point, or a length of the mask exceeds the number of places.

    Source:
        Hassani et al. 2022, arXiv:2204.07143. Without the bias that the paper adds to the scores.

    Cost:
        Tiles of `window` queries against the keys that any of them meets: fewer than `2 * window`
        scores a query on each axis, so less than 4 times the area of the window on a plane, and
        as many copies of each key and value at most. The mask is looked up for these pairs only.
        Exact.
    """
    check_qkv(query, key, value)
    near = Mask.neighbourhood(shape, window)
    batch, heads, places, dim = query.shape
    whole = near if mask is None else near & mask
    whole.check(places, key.shape[2], batch=batch, heads=heads)
    tiles = _tiles(shape, window, query.device)
    factor = 1 / math.sqrt(dim) if scale is None else scale
    rows = _take(widen(query) * factor, tiles.queries)
    near_key = _take(share_heads(widen(key), heads), tiles.keys)
    near_value = _take(share_heads(widen(value), heads), tiles.keys).to(rows.dtype)
    axes = [torch.arange(n, device=query.device) for n in (batch, heads)]
    visible = whole.at(
        axes[0].view(-1, 1, 1, 1, 1),
        axes[1].view(-1, 1, 1, 1),
        tiles.queries[:, :, None],
        tiles.keys[:, None],
        queries=places,
        keys=places,
    )
    output = masked_shares(rows @ near_key.mT, visible) @ near_value
    return output.flatten(2, 3)[:, :, tiles.order].to(query.dtype)


class _Tiles(NamedTuple):
    """A grid in tiles.

    Args:
        queries: `(tiles, queries a tile)`: the places of the queries; the last ones of an axis
            occur twice where it is no multiple of a tile.
        keys: `(tiles, keys a tile)`: the places that any of them meets, each once.
        order: Where each place stands in `queries`, flattened.
    """

    queries: Tensor
    keys: Tensor
    order: Tensor


def _tiles(shape: tuple[int, ...], window: tuple[int, ...], device: torch.device) -> _Tiles:
    place = torch.arange(math.prod(shape), device=device)
    queries = keys = torch.zeros(1, 1, dtype=torch.long, device=device)
    tile = inside = torch.zeros_like(place)
    stride = len(place)
    for size, width in zip(shape, window, strict=True):
        stride //= size
        width = min(width, size)
        count, span = -(-size // width), min(size, 2 * width - 1)
        start = torch.arange(count, device=device)[:, None] * width
        rows = (start + torch.arange(width, device=device)).clamp(max=size - 1)
        met = (start - width // 2).clamp(0, size - span) + torch.arange(span, device=device)
        queries, keys = _outer(queries, size, rows), _outer(keys, size, met)
        x = place // stride % size
        tile, inside = tile * count + x // width, inside * width + x % width
    return _Tiles(queries, keys, tile * queries.shape[1] + inside)


def _outer(places: Tensor, size: int, along: Tensor) -> Tensor:
    """Places of a grid with one more axis, of which `along` holds the coordinates."""
    spread = places[:, None, :, None] * size + along[None, :, None, :]
    return spread.flatten(2, 3).flatten(0, 1)


def _take(tensor: Tensor, places: Tensor) -> Tensor:
    """`(batch, heads, places, dim)` to `(batch, heads, tiles, places a tile, dim)`."""
    return tensor[:, :, places]
