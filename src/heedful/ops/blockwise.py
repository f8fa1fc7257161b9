"""Block-wise attention: exactly scaled dot-product attention, in memory linear in the length."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops._blocks import NEVER, Plan, attend
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops.scaled_dot import scaled_dot_weights


def blockwise_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    block: int = 512,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * query_i . key_j)`, whatever the blocks are.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        block: Queries, and keys, per block; changes nothing here.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `block < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at.
    """
    _check_block(block)
    return scaled_dot_weights(query, key, mask=mask, scale=scale)


@hidden_kept_out
def blockwise_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    block: int = 512,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `blockwise_weights`, a block of scores at a time.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        block: Queries, and keys, per block.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `block < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Milakov et al. 2018, arXiv:1805.02867, section 3 (the running maximum and sum).
        Rabe et al. 2021, arXiv:2112.05682 (blocks, and a backward pass that computes them again).

    Cost:
        Stores `block x block` scores a head, also for the gradient, which computes them again: 4.5
        passes over the pairs instead of 3. Blocks that a mask hides entirely are skipped on a CPU.
        The mask is looked up block by block. Exact. In a compiled or exported graph the gradient
        remembers every block.
    """
    output, _ = blockwise_partial(query, key, value, block=block, mask=mask, scale=scale)
    return output.to(query.dtype)


def blockwise_partial(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    block: int = 512,
    mask: Mask | None = None,
    scale: float | None = None,
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
    """Attend to some of the keys, and say how much they weigh together, for `merge`.

    Args:
        query: What is looked for.
        key: Some of the keys; `kv_heads` divides `heads`.
        value: Their values.
        block: Queries, and keys, per block.
        mask: Which query may see which of these keys. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The output of `blockwise_attention` over these keys, and for every query the logarithm of
        the sum of `exp(score)`: minus infinity where nothing is visible. Both in float32 at least,
        so that what is merged of many parts is rounded once, by whoever needs it shorter.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `block < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Milakov et al. 2018, arXiv:1805.02867, section 3.

    Cost:
        That of `blockwise_attention`.
    """
    check_qkv(query, key, value)
    _check_block(block)
    batch, heads, queries, dim = query.shape
    keys = key.shape[2]
    if mask is not None:
        mask.check(queries, keys, batch=batch, heads=heads)
        mask = mask.within(queries, keys)
        mask = None if mask == Mask.full() else mask
    factor = 1 / math.sqrt(dim) if scale is None else scale
    plan = Plan(mask, factor, block, (batch, heads, queries, keys))
    return attend(query, key, value, plan)


def merge(
    outputs: Sequence[Float[Tensor, "batch heads queries value_dim"]],
    log_sums: Sequence[Float[Tensor, "batch heads queries"]],
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
    """Combine attention over parts of the keys into attention over all of them, exactly.

    `o = sum_p w_p o_p` with `w = softmax_p(log_sum_p)`. A part in which a query saw nothing has
    minus infinity there and does not count, whatever its output is.

    Args:
        outputs: One per part; no key is in two parts.
        log_sums: What each part's scores sum to, as `blockwise_partial` returns it.

    Returns:
        Output and log-sum-exp over all parts, so that merging can go on; where no part saw
        anything they are 0 and minus infinity.

    Raises:
        ShapeError: There is no part, not one log-sum-exp per output, or their shapes differ.

    Source:
        Milakov et al. 2018, arXiv:1805.02867, section 3.1 (merging is associative).

    Cost:
        Reads every part once.
    """
    shapes = [tuple(x.shape[:-1]) for x in outputs]
    if not shapes or shapes != [tuple(x.shape) for x in log_sums] or len(set(shapes)) > 1:
        raise ShapeError(
            "every output must have a log-sum-exp for each of its rows, got "
            f"{[tuple(x.shape) for x in outputs]} and {[tuple(x.shape) for x in log_sums]}"
        )
    logs = torch.stack(list(log_sums))
    base = logs.detach().amax(0)
    base = base.masked_fill(base == NEVER, 0.0)
    terms = (logs - base).exp()
    total = terms.sum(0)
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    shares = (terms / total)[..., None]
    parts = torch.stack(list(outputs)).to(logs.dtype)
    output = (shares * parts.masked_fill(shares == 0, 0.0)).sum(0)
    log_sum = (total.log() + base).masked_fill(empty, NEVER)
    return output.to(outputs[0].dtype), log_sum


def _check_block(block: int) -> None:
    if block < 1:
        raise ConfigError(f"block must be at least 1, got {block}")
