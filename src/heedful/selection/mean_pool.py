"""Mean-pool scores: the mean query and the mean key of two blocks tell how well they match."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.selection._mass import block_mass
from heedful.selection._shapes import check_count, check_query_key, factor
from heedful.selection._sight import Sight


@torch.no_grad()
def mean_pool_mass(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    block: int,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads query_blocks key_blocks"]:
    """Estimate the share of a query block's attention that each key block gets.

    `softmax_J(scale * mean(query_i in I) . mean(key_j in J))`, each block weighed by the number of
    its keys. Far cheaper than `antidiagonal_mass`, and blind to what differs within a block.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        block: Positions per block.
        mask: Which query may see which key. Two blocks see each other if any of their pairs do;
            where parts of a mask hide all pairs only together, they count as visible. `None`
            means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Shares in float32 that sum to one over the key blocks, or zeros where a query block sees
        nothing. No gradient goes through them.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `block < 1`, a tensor is not floating-point, or a length of the mask exceeds
            `keys`.

    Source:
        Jiang et al. 2024, arXiv:2407.02490 (block-sparse heads).

    Cost:
        Reads queries and keys once; products are few.
    """
    check_query_key(query, key)
    check_count("block", block, least=1)
    sight = Sight.of(mask, query, key, block)
    means = sight.queries.means(_widened(query))
    return block_mass(
        lambda rows: means[:, :, rows],
        sight.keys.means(_widened(key)),
        sight,
        heads=query.shape[1],
        ratio=1,
        scale=factor(query, scale),
    )


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
