"""Block-sparse attention reads the listed blocks, all of them, and no others."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings


class TestBlockSparse(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["block_sparse"]


def draw(*, queries=11, keys=13, heads=4, kv_heads=2, dim=3, value_dim=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = ((heads, queries, dim), (kv_heads, keys, dim), (kv_heads, keys, value_dim))
    return [
        torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in shapes
    ]


def listed(*shape, density=0.4):
    return torch.rand(shape, generator=torch.Generator().manual_seed(6)) < density


def same(actual, want, *, keys=13, dim=3, largest=5.0):
    limit = 2 * roundings(actual.dtype, dim, keys, keys)
    assert_close(actual, want, roundings=limit, largest=largest)


@pytest.mark.parametrize("batch, heads", [(1, 1), (2, 1), (1, 4), (2, 4)])
@pytest.mark.parametrize("kind", ["none", "causal", "window_sinks", "dense", "lengths", "nothing"])
@pytest.mark.parametrize("queries, keys, block", [(11, 13, 4), (8, 8, 4), (1, 9, 3), (9, 2, 3)])
def test_is_scaled_dot_with_the_mask_of_its_blocks(batch, heads, kind, queries, keys, block):
    tensors = [x.requires_grad_() for x in draw(queries=queries, keys=keys)]
    blocks = listed(batch, heads, -(-queries // block), -(-keys // block))
    mask, _ = MASKS[kind](Sizes(queries=queries, keys=keys, kv_heads=2)) if keys > 2 else (None, 0)
    whole = Mask.blocks(blocks, block=block)
    whole = whole if mask is None else whole & mask
    settings = {"blocks": blocks, "block": block, "mask": mask, "scale": 0.7}
    actual = block_sparse_attention(*tensors, **settings)
    want = scaled_dot_attention(*tensors, mask=whole, scale=0.7)
    same(actual, want)
    weights = block_sparse_weights(*tensors[:2], **settings)
    assert torch.equal(weights, scaled_dot_weights(*tensors[:2], mask=whole, scale=0.7))
    for one, other in zip(
        torch.autograd.grad(actual.sum(), tensors),
        torch.autograd.grad(want.sum(), tensors),
        strict=True,
    ):
        same(one, other, largest=max(1.0, other.abs().max().item()))


def test_a_block_of_queries_without_keys_gives_0():
    blocks = listed(1, 1, 3, 4, density=1.0)
    blocks[:, :, 1] = False
    output = block_sparse_attention(*draw(), blocks=blocks, block=4)
    assert (output[:, :, 4:8] == 0).all()
    assert (output[:, :, :4].abs().sum(-1) > 0).all()


def test_a_head_with_fewer_blocks_is_not_changed_by_the_fullest():
    blocks = listed(1, 4, 3, 4)
    fuller = blocks.clone()
    fuller[:, 3] = True
    tensors = draw()
    before = block_sparse_attention(*tensors, blocks=blocks, block=4)
    after = block_sparse_attention(*tensors, blocks=fuller, block=4)
    same(after[:, :3], before[:, :3])


def test_costs_what_is_listed():
    tensors = draw(queries=128, keys=128, kv_heads=4, dtype=torch.float32)
    near = torch.eye(16, dtype=torch.bool)[None, None]
    twice = near | near.roll(1, -1)
    some = measure(lambda: block_sparse_attention(*tensors, blocks=near, block=8))
    more = measure(lambda: block_sparse_attention(*tensors, blocks=twice, block=8))
    assert more.flops == 2 * some.flops
    assert some.largest <= max(x.numel() for x in tensors) * 4


@pytest.mark.parametrize(
    "blocks, block, error, message",
    [
        (torch.ones(1, 1, 3, 4), 4, ConfigError, "blocks must be boolean"),
        (listed(1, 1, 3, 4), 0, ConfigError, "block must be at least 1, got 0"),
        (listed(3, 4), 4, ShapeError, "blocks must be 4-D"),
        (
            listed(1, 1, 3, 3),
            4,
            ShapeError,
            "blocks must cover queries=11 and keys=13 with 3 x 4 blocks of 4",
        ),
        (listed(1, 3, 3, 4), 4, ShapeError, "must have 1 or heads=4 entries"),
    ],
)
def test_rejects_blocks_that_do_not_fit(blocks, block, error, message):
    query, key, value = draw()
    with pytest.raises(error, match=re.escape(message)):
        block_sparse_attention(query, key, value, blocks=blocks, block=block)
    with pytest.raises(error, match=re.escape(message)):
        block_sparse_weights(query, key, blocks=blocks, block=block)
