"""Block selection from end to end: estimate, keep what must be kept, choose the heaviest."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.selection._shapes import check_count, check_query_key
from heedful.selection._sight import Sight
from heedful.selection.antidiagonal import antidiagonal_mass
from heedful.selection.choose import choose_blocks
from heedful.selection.keep import always_kept
from heedful.selection.mean_pool import mean_pool_mass

Method = Literal["antidiagonal", "mean_pool"]


@torch.no_grad()
def select_blocks(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    block: int = 128,
    coverage: float = 0.95,
    stride: int = 16,
    method: Method = "antidiagonal",
    mask: Mask | None = None,
    sinks: int = 1,
    window: int = 1,
    scale: float | None = None,
) -> Bool[Tensor, "batch heads query_blocks key_blocks"]:
    """Choose the key blocks that are worth reading for each query block.

    ```python
    grid = select_blocks(q, k, mask=Mask.causal())
    heedful.attend(q, k, v, mask=Mask.blocks(grid, block=128) & Mask.causal())
    ```

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        block: Positions per block.
        coverage: Share of the estimated attention to reach, above 0 and at most 1.
        stride: Positions per cell of the antidiagonal estimate; divides `block`.
        method: How attention is estimated: "antidiagonal", or "mean_pool", which is cheaper and
            rougher.
        mask: Which query may see which key, as it will be used with the result. `None` means: all.
        sinks: Key blocks that are chosen at the beginning, where visible.
        window: Key blocks that are chosen just behind those on the diagonal, which are chosen too,
            where visible.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        True for the chosen blocks, for `Mask.blocks`. A query block that sees anything has at least
        one; blocks that the mask hides are never chosen, as far as the methods can tell: see there.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: A tensor is not floating-point, `coverage` is not above 0 and at most 1,
            `sinks` or `window` is negative, `block` is not a multiple of `stride`, an unknown
            `method`, or a length of the mask exceeds `keys`.

    Source:
        Xu et al. 2025, arXiv:2503.16428.

    Cost:
        That of the estimate. On a CPU with bf16 instructions queries and keys in bf16 halve it and
        choose the same blocks but for near ties.
    """
    check_query_key(query, key)
    if method not in get_args(Method):
        raise ConfigError(f"method must be 'antidiagonal' or 'mean_pool', got {method!r}")
    check_count("block", block, least=1)
    queries, keys, device = query.shape[2], key.shape[2], query.device
    keep = always_kept(queries, keys, block=block, sinks=sinks, window=window, device=device)
    if method == "antidiagonal":
        mass = antidiagonal_mass(query, key, block=block, stride=stride, mask=mask, scale=scale)
    else:
        mass = mean_pool_mass(query, key, block=block, mask=mask, scale=scale)
    return choose_blocks(mass, coverage=coverage, keep=_seen(keep, mask, query, key, block))


def _seen(keep: Tensor, mask: Mask | None, query: Tensor, key: Tensor, block: int) -> Tensor:
    """Those of the kept blocks that the mask does not hide."""
    if mask is None or not keep.numel():
        return keep
    sight = Sight.of(mask, query, key, block)
    visible = sight.visible(slice(0, keep.shape[2]), slice(0, keep.shape[3]))
    return keep if visible is None else keep & visible
