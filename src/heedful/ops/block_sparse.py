"""Block-sparse attention: only the listed blocks of keys are read."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._band import masked_shares
from heedful.ops._blocks import Plan, hides_all
from heedful.ops._check import check_qkv
from heedful.ops._softmax import share_heads, widen
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


def block_sparse_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    blocks: Bool[Tensor, "#batch #heads query_blocks key_blocks"],
    block: int,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys of the listed blocks by `softmax_j(scale * query_i . key_j)`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        blocks: Which block of queries reads which block of keys; batch and heads of size 1 stand
            for all. The last block of an axis may be cut short.
        block: Positions per block.
        mask: Which of the keys that it reads a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the blocks or the mask do not fit together.
        ConfigError: `blocks` is not boolean, `block < 1`, a tensor is not floating-point, or a
            length of the mask exceeds `keys`.

    Source:
        Child et al. 2019, arXiv:1904.10509, section 4.2 (which keys are read).
        Zaheer et al. 2020, arXiv:2007.14062, appendix D (in blocks).

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    check_qkv(query, key)
    listed = Mask.blocks(blocks, block=block)
    return scaled_dot_weights(
        query, key, mask=listed if mask is None else listed & mask, scale=scale
    )


def block_sparse_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    blocks: Bool[Tensor, "#batch #heads query_blocks key_blocks"],
    block: int,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `block_sparse_weights`, reading the listed blocks only.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        blocks: Which block of queries reads which block of keys; batch and heads of size 1 stand
            for all. The last block of an axis may be cut short.
        block: Positions per block.
        mask: Which of the keys that it reads a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the blocks or the mask do not fit together.
        ConfigError: `blocks` is not boolean, `block < 1`, a tensor is not floating-point, or a
            length of the mask exceeds `keys`.

    Source:
        Child et al. 2019, arXiv:1904.10509, section 4.2 (which keys are read).
        Zaheer et al. 2020, arXiv:2007.14062, appendix D (in blocks).

    Cost:
        Time and memory grow with the number of listed blocks; heads and batch rows with fewer than
        the fullest one are filled up to it. Exact for what is listed. In a compiled or exported
        graph it is plain attention with a mask, because the number of blocks is not known there.
    """
    check_qkv(query, key, value)
    batch, heads, queries, dim = query.shape
    keys = key.shape[2]
    listed = Mask.blocks(blocks, block=block)
    listed.check(queries, keys, batch=batch, heads=heads)
    both = listed if mask is None else listed & mask
    both.check(queries, keys, batch=batch, heads=heads)
    if torch.compiler.is_compiling() or not queries or not keys:
        return scaled_dot_attention(query, key, value, mask=both, scale=scale)
    factor = 1 / math.sqrt(dim) if scale is None else scale
    plan = Plan(mask, factor, block, (batch, heads, queries, keys))
    rows = [
        _row(query, key, value, blocks[:, :, i], rows, plan) for i, rows in enumerate(plan.cuts(2))
    ]
    return torch.cat(rows, 2)


def _row(
    query: Tensor, key: Tensor, value: Tensor, chosen: Tensor, rows: slice, plan: Plan
) -> Tensor:
    """One block of queries and the blocks of keys that are chosen for it, `(#batch, #heads, n)`."""
    batch, heads, _, keys = plan.sizes
    count = int(chosen.sum(-1).max())
    places, exists = _places(chosen, count, plan)
    device = query.device
    first = [torch.arange(size, device=device) for size in (batch, heads)]
    position = torch.arange(rows.start, rows.stop, device=device)[:, None]
    visible = exists[:, :, None]
    if plan.mask is not None:
        visible = visible & plan.mask.at(
            first[0].view(-1, 1, 1, 1),
            first[1].view(-1, 1, 1),
            position,
            places[:, :, None],
            queries=plan.sizes[2],
            keys=keys,
        )
    if not count or hides_all(visible):
        shape = (batch, heads, rows.stop - rows.start, value.shape[3])
        # still a function of its inputs, so that their gradient is 0 and not missing
        return query.new_zeros(shape) + 0 * (query.sum() + key.sum() + value.sum())
    scores = widen(query[:, :, rows]) * plan.scale @ _take(widen(key), places, heads).mT
    weights = masked_shares(scores, visible)
    return (weights @ _take(value, places, heads).to(weights.dtype)).to(query.dtype)


def _places(chosen: Tensor, count: int, plan: Plan) -> tuple[Tensor, Tensor]:
    """The keys of the first `count` chosen blocks, `(#batch, #heads, count * block)`, and which
    of them there are: a row with fewer is filled up with others, which do not count."""
    keys, block = plan.sizes[3], plan.block
    order = chosen.to(torch.uint8).argsort(stable=True, dim=-1, descending=True)[..., :count]
    there = chosen.gather(-1, order)
    places = order[..., None] * block + torch.arange(block, device=chosen.device)
    exists = there[..., None] & (places < keys)
    return places.clamp(max=keys - 1).flatten(2), exists.flatten(2)


def _take(tensor: Tensor, places: Tensor, heads: int) -> Tensor:
    """`(batch, heads, places, dim)`; one list for all is taken before heads are repeated."""
    if places.shape[:2] == (1, 1):
        return share_heads(tensor.index_select(2, places[0, 0]), heads)
    index = places[..., None].expand(len(tensor), heads, -1, tensor.shape[3])
    return share_heads(tensor, heads).gather(2, index)
