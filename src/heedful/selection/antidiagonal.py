"""Antidiagonal scores: a few pairs out of every square tell how much attention it will get."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.selection._mass import block_mass
from heedful.selection._shapes import check_count, check_query_key, factor
from heedful.selection._sight import Sight


@torch.no_grad()
def antidiagonal_mass(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    block: int,
    stride: int = 16,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads query_blocks key_blocks"]:
    """Estimate the share of a query block's attention that each key block gets.

    Both axes are cut into cells of `stride` positions. Two cells score the mean of the pairs on the
    antidiagonal of their square, which every query and every key of them is on once; the softmax
    of a row of scores, summed over the cells of a block, is its share.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        block: Positions per block; a multiple of `stride`.
        stride: Positions per cell: more is faster and less exact.
        mask: Which query may see which key. Two cells see each other if any of their pairs do, and
            then all pairs on the antidiagonal count. Where parts of a mask (a band with lengths,
            segments, blocks, anything else) hide all pairs only together, the cells count as
            visible. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Shares in float32 that sum to one over the key blocks, or zeros where a query block sees
        nothing. No gradient goes through them.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `stride < 1`, `block` is not a multiple of it, a tensor is not floating-point,
            or a length of the mask exceeds `keys`.

    Source:
        Xu et al. 2025, arXiv:2503.16428, algorithm 1. Unlike there a last cell or block that is cut
        short counts by its size, and holds nothing but its own positions.

    Cost:
        The share `1 / stride` of all products, in the dtype of `query`, without those beyond what a
        causal mask or a window lets a few blocks of queries see; at most 32 MiB of scores at once.
    """
    check_query_key(query, key)
    check_count("stride", stride, least=1)
    if block < 1 or block % stride:
        raise ConfigError(f"block must be a multiple of stride, got {block=}, {stride=}")
    sight = Sight.of(mask, query, key, stride)
    cells = sight.queries.cut(_quick(query))

    def turned(rows: slice) -> Tensor:
        return cells[:, :, rows].flip(3).flatten(3)

    return block_mass(
        turned,
        sight.keys.cut(_quick(key)).flatten(3),
        sight,
        heads=query.shape[1],
        ratio=block // stride,
        scale=factor(query, scale) / stride,
    )


def _quick(tensor: Tensor) -> Tensor:
    """CPUs multiply float16 slowly, and only some of them at all."""
    return tensor.float() if tensor.dtype == torch.float16 and tensor.is_cpu else tensor
