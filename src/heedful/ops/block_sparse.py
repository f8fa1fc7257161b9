"""Block-sparse attention: only the listed blocks of keys are read."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd import Function

from heedful.kernels.attend import attend
from heedful.kernels.native import native
from heedful.listeners import compiling, dual, transformed
from heedful.mask import Mask
from heedful.ops._blocks import NEVER, Plan, finite, hides_all
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
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


@hidden_kept_out
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
        Time grows with the number of listed blocks. On CPU `heedful.attend` skips the others. Where
        its native kernel cannot take the call, blocks are gathered, and heads and batch rows with
        fewer than the fullest one are filled up to it; memory is then that of one block of queries
        with its keys, also for the gradient, which reads them again. Exact for what is listed. In a
        compiled or exported graph it is plain attention with a mask, because the number of blocks
        is not known there.
    """
    check_qkv(query, key, value)
    batch, heads, queries, dim = query.shape
    keys = key.shape[2]
    listed = Mask.blocks(blocks, block=block)
    both = listed if mask is None else listed & mask  # checked by whoever looks at it first, below
    if compiling() or transformed() or dual() or not queries or not keys:
        return scaled_dot_attention(query, key, value, mask=both, scale=scale)
    if native(query, key, value, both, scale):
        return attend(query, key, value, mask=both, scale=scale, impl="cpu")
    factor = 1 / math.sqrt(dim) if scale is None else scale
    plan = Plan(mask, factor, block, (batch, heads, queries, keys))
    return _BlockSparse.apply(query, key, value, blocks, plan)[0].to(query.dtype)


class _BlockSparse(Function):
    """No block is kept: the backward pass reads the listed ones again.

    Left to autograd, the gradient of every reading would be as long as all keys.
    """

    @staticmethod
    def forward(
        query: Tensor, key: Tensor, value: Tensor, blocks: Tensor, plan: Plan
    ) -> tuple[Tensor, Tensor]:
        rows = [
            _row(query, key, value, blocks[:, :, i], cut, plan)
            for i, cut in enumerate(plan.cuts(2))
        ]
        return torch.cat([row[0] for row in rows], 2), torch.cat([row[1] for row in rows], 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        query, key, value, blocks, ctx.plan = inputs
        ctx.save_for_backward(query, key, value, blocks, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, blocks, output, log_sum = ctx.saved_tensors
        by_output, by_log_sum = gradients
        # what the shares of a row have in common, so that they go on summing to one
        common = (by_output * output).sum(-1) - by_log_sum
        wide, plan = by_output.dtype, ctx.plan
        by_key, by_value = (torch.zeros_like(x, dtype=wide) for x in (key, value))
        by_query: list[Tensor] = []
        for i, cut in enumerate(plan.cuts(2)):
            part, turned = widen(query[:, :, cut]) * plan.scale, by_output[:, :, cut]
            meeting = _meet(blocks[:, :, i], cut, plan)
            if meeting is None:
                by_query.append(torch.zeros_like(part))
                continue
            places, visible = meeting
            near_key, near_value = (_take(x, places, plan).to(wide) for x in (key, value))
            scores = _scores(part, near_key, visible)
            weights = (scores - finite(log_sum[:, :, cut, None])).exp()
            by_scores = weights * (turned @ near_value.mT - common[:, :, cut, None])
            by_query.append(by_scores @ near_key * plan.scale)
            _give(by_key, by_scores.mT @ part, places)
            _give(by_value, weights.mT @ turned, places)
        joined = (torch.cat(by_query, 2), by_key, by_value)
        inputs = (query, key, value)
        return (*(x.to(y.dtype) for x, y in zip(joined, inputs, strict=True)), None, None)


def _row(
    query: Tensor, key: Tensor, value: Tensor, chosen: Tensor, rows: slice, plan: Plan
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp of one block of queries, for the blocks of keys chosen for it."""
    part = widen(query[:, :, rows]) * plan.scale
    meeting = _meet(chosen, rows, plan)
    if meeting is None:
        nothing = part.new_zeros(*part.shape[:3], value.shape[3])
        return nothing, part.new_full(part.shape[:3], NEVER)
    places, visible = meeting
    near_key, near_value = (_take(x, places, plan).to(part.dtype) for x in (key, value))
    scores = _scores(part, near_key, visible)
    log_sum = scores.logsumexp(-1, keepdim=True)
    return (scores - finite(log_sum)).exp() @ near_value, log_sum[..., 0]


def _scores(part: Tensor, near_key: Tensor, visible: Tensor) -> Tensor:
    return (part @ near_key.mT).masked_fill(~visible, NEVER)


def _meet(chosen: Tensor, rows: slice, plan: Plan) -> tuple[Tensor, Tensor] | None:
    """The keys that a block of queries reads, and which of them each query sees.

    `None`: no query of the block sees any.
    """
    batch, heads, queries, keys = plan.sizes
    count, device = int(chosen.sum(-1).max()), chosen.device
    places, exists = _places(chosen, count, plan)
    visible = exists[:, :, None]
    if plan.mask is not None:
        visible = visible & plan.mask.at(
            torch.arange(batch, device=device).view(-1, 1, 1, 1),
            torch.arange(heads, device=device).view(-1, 1, 1),
            torch.arange(rows.start, rows.stop, device=device)[:, None],
            places[:, :, None],
            queries=queries,
            keys=keys,
        )
    return None if not count or hides_all(visible) else (places, visible)


def _places(chosen: Tensor, count: int, plan: Plan) -> tuple[Tensor, Tensor]:
    """The keys of the first `count` chosen blocks, `(#batch, #heads, count * block)`, and which
    of them there are: a row with fewer is filled up with others, which do not count."""
    keys, block = plan.sizes[3], plan.block
    order = chosen.to(torch.uint8).argsort(stable=True, dim=-1, descending=True)[..., :count]
    there = chosen.gather(-1, order)
    places = order[..., None] * block + torch.arange(block, device=chosen.device)
    exists = there[..., None] & (places < keys)
    return places.clamp(max=keys - 1).flatten(2), exists.flatten(2)


def _take(tensor: Tensor, places: Tensor, plan: Plan) -> Tensor:
    """`(batch, heads, places, dim)`; one list for all is taken before heads are repeated."""
    heads = plan.sizes[1]
    if places.shape[:2] == (1, 1):
        return share_heads(tensor.index_select(2, places[0, 0]), heads)
    return (
        tensor.gather(2, _index(tensor, places, heads))
        .unflatten(2, (-1, places.shape[2]))
        .flatten(1, 2)
    )


def _give(total: Tensor, parts: Tensor, places: Tensor) -> None:
    """Add to `total` what `_take` has taken from there."""
    grouped = parts.unflatten(1, (total.shape[1], -1))
    if places.shape[:2] == (1, 1):
        total.index_add_(2, places[0, 0], grouped.sum(2))
    else:
        total.scatter_add_(2, _index(total, places, parts.shape[1]), grouped.flatten(2, 3))


def _index(tensor: Tensor, places: Tensor, heads: int) -> Tensor:
    """The places of all heads that share a key/value head, one list after the other."""
    batch, kv_heads, _, dim = tensor.shape
    listed = places.expand(batch, heads, -1).unflatten(1, (kv_heads, -1)).flatten(2)
    return listed[..., None].expand(-1, -1, -1, dim)
