"""The claims of what works in blocks."""

from collections.abc import Callable
from typing import Any

import torch

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.oracle import blocks

BLOCK = 2


def _listed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with two thirds of all blocks, others for each head."""

    def call(query: Any, key: Any, *others: Any, **settings: Any) -> Any:
        sizes = (1, query.shape[1], -(-query.shape[2] // BLOCK), -(-key.shape[2] // BLOCK))
        _, h, i, j = torch.meshgrid(*map(torch.arange, sizes), indexing="ij")
        given = (h + i + 2 * j) % 3 > 0
        listed = given if isinstance(query, torch.Tensor) else given.numpy()
        return function(query, key, *others, blocks=listed, block=BLOCK, **settings)

    return call


BLOCKS: dict[str, Claim] = {
    "block_sparse": Claim(
        attention=_listed(ops.block_sparse_attention),
        weights=_listed(ops.block_sparse_weights),
        oracle=_listed(blocks.block_sparse),
        normalised=False,  # no listed block may be visible
        permutation_invariant=False,
        independent_queries=False,
        decodes=False,
        independent_heads=False,  # what a head reads depends on its number
    ),
    "blockwise": Claim(
        attention=ops.blockwise_attention,
        weights=ops.blockwise_weights,
        oracle=blocks.blockwise,
        settings={"block": BLOCK, "scale": 0.7},
    ),
}
