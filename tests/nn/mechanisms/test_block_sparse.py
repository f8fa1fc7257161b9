"""The module reads the first blocks and those around its own place."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.block_sparse import BlockSparse
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights


def table(module, queries, keys):
    """Which blocks are read, by the definition: a place near one of the queries' own, or first."""
    own = [i + keys - queries for i in range(queries)]
    count = -(-keys // module.block)
    rows = []
    for start in range(0, queries, module.block):
        stands = {p // module.block for p in own[start : start + module.block]}
        rows.append(
            [
                j < module.sinks or min(stands) - module.near <= j <= max(stands) + module.near
                for j in range(count)
            ]
        )
    return rows


@pytest.mark.parametrize("queries, keys", [(16, 16), (5, 16), (16, 5), (1, 13), (7, 18)])
@pytest.mark.parametrize("sinks, near", [(1, 1), (0, 0), (2, 0)])
def test_blocks(queries, keys, sinks, near):
    module = BlockSparse(heads=4, dim=8, block=3, sinks=sinks, near=near)
    assert module.blocks(queries, keys)[0, 0].tolist() == table(module, queries, keys)


def test_is_the_op():
    query, key, value = torch.randn(3, 2, 4, 17, 8, generator=torch.Generator().manual_seed(1))
    module = BlockSparse(heads=4, dim=8, block=4, near=0)
    settings = {"blocks": module.blocks(17, 17), "block": 4, "mask": Mask.causal()}
    want = block_sparse_attention(query, key, value, **settings)
    assert torch.equal(module(query, key, value, mask=Mask.causal()), want)
    want = block_sparse_weights(query, key, **settings)
    assert torch.equal(module.weights(query, key, mask=Mask.causal()), want)
    assert not want.ne(0)[..., 16, 4:16].any()


def test_works_in_an_attention_module():
    attention = Attention(width=16, heads=4, mechanism=BlockSparse(heads=4, dim=4, block=2))
    x = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(1))
    attention(x, mask=Mask.causal()).sum().backward()
    assert all(p.grad.isfinite().all() for p in attention.parameters())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"sinks": -1}, "sinks and near must not be negative, got sinks=-1, near=1"),
        ({"near": -2}, "sinks and near must not be negative, got sinks=1, near=-2"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        BlockSparse(heads=4, dim=8, **settings)
