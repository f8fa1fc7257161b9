"""From a rule to what a kernel takes: a boolean tensor, an additive one, a `BlockMask`."""

from typing import Any

import torch
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask._base import At, Rule
from heedful.mask._rules import Full

Size = tuple[int, int, int, int]  # batch, heads, queries, keys


def to_bool(rule: Rule, size: Size, device: torch.device | str | None) -> Tensor | None:
    """True = attend; `None` when every query is known to see every key."""
    rule.check_sizes(*size)
    rule = rule.within(*size[2:])
    if isinstance(rule, Full):
        return None
    device = rule.device() if device is None else torch.device(device)
    visible = rule.to(device).visible(grid(*size, device))
    return visible[(None,) * (4 - visible.ndim)]


def to_additive(
    rule: Rule, size: Size, device: torch.device | str | None, dtype: torch.dtype
) -> Tensor | None:
    """0 where visible, -inf where hidden."""
    if not dtype.is_floating_point:
        raise ConfigError(f"dtype must be floating-point, got {dtype}")
    visible = to_bool(rule, size, device)
    if visible is None:
        return None
    zero = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zero.masked_fill(~visible, float("-inf"))


def to_block_mask(rule: Rule, size: Size, device: torch.device | str, block_size: int) -> Any:
    """FlexAttention's `BlockMask`; its module is heavy, so it is imported when asked for."""
    from torch.nn.attention.flex_attention import create_block_mask

    if block_size < 1:
        raise ConfigError(f"block_size must be at least 1, got {block_size}")
    rule.check_sizes(*size)
    batch, heads, queries, keys = size
    device = torch.device(device)
    rule = rule.within(queries, keys).to(device)
    corner = grid(batch, heads, 1, 1, device)._replace(queries=queries, keys=keys)
    shape = (1, 1, 1, 1, *rule.visible(corner).shape)  # tells what the rule depends on

    # A lambda, because FlexAttention counts parameters, which a type-checking wrapper hides.
    return create_block_mask(
        lambda b, h, q, k: rule.visible(At(b, h, q, k, queries, keys)),
        shape[-4],
        shape[-3],
        queries,
        keys,
        str(device),
        block_size,
    )


def grid(batch: int, heads: int, queries: int, keys: int, device: torch.device) -> At:
    sizes = (batch, heads, queries, keys)
    axes = [torch.arange(size, device=device) for size in sizes]
    spread = [x.view([-1 if i == axis else 1 for i in range(4)]) for axis, x in enumerate(axes)]
    return At(spread[0], spread[1], spread[2], spread[3], queries, keys)
