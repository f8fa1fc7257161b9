"""The module reads the blocks that a selection lists, and all of them where it does not pay."""

import re
from itertools import pairwise

import pytest
import torch

from heedful.bench.planted import planted
from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.selected_blocks import SelectedBlocks
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.selection import select_blocks

PADDED = Mask.lengths(torch.tensor([30, 50]))
MASKS = [None, Mask.causal(), PADDED, Mask.causal() & PADDED]


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def make(**settings):
    return SelectedBlocks(heads=4, dim=8, **({"share": 0.5, "block": 4, "least": 3} | settings))


def tensors(queries=50, keys=50, *, kv_heads=2):
    """As sharp as what a model has learned, so that something can be left out."""
    query = 3 * draw(2, 4, queries, 8)
    return query, draw(2, kv_heads, keys, 8, seed=2), draw(2, kv_heads, keys, 6, seed=3)


@pytest.mark.parametrize("mask", [None, Mask.causal()], ids=repr)
@pytest.mark.parametrize("block, stride", [(16, 16), (8, 8), (24, 8), (6, 2), (5, 1)])
def test_is_the_op_with_the_blocks_selected(block, stride, mask):
    query, key, value = tensors(queries=70, keys=75)
    module = make(block=block)
    blocks = select_blocks(query, key, block=block, coverage=0.5, stride=stride, mask=mask)
    assert not blocks.all()
    settings = {"blocks": blocks, "block": block, "mask": mask}
    want = block_sparse_attention(query, key, value, **settings)
    assert torch.equal(module(query, key, value, mask=mask), want)
    want = block_sparse_weights(query, key, **settings)
    assert torch.equal(module.weights(query, key, mask=mask), want)


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize(
    "settings, queries, keys",
    [
        ({"share": 1.0}, 50, 50),
        ({"least": 14}, 50, 50),  # 13 blocks
        ({}, 3, 50),  # as when a decoder goes on
        ({}, 50, 8),
    ],
)
def test_is_plain_attention_where_it_does_not_pay(settings, queries, keys, mask):
    if mask is not None and mask != Mask.causal():
        mask = Mask.causal() & Mask.lengths(torch.tensor([keys // 2, keys]))
    query, key, value = tensors(queries, keys)
    module = make(**settings)
    assert module.blocks(query, key, mask=mask) is None
    want = scaled_dot_attention(query, key, value, mask=mask)
    assert torch.equal(module(query, key, value, mask=mask), want)
    want = scaled_dot_weights(query, key, mask=mask)
    assert torch.equal(module.weights(query, key, mask=mask), want)


def test_the_limits_are_where_they_are_said_to_be():
    for queries, keys, least in [(4, 9, 3), (4, 50, 13)]:
        query, key, _ = tensors(queries, keys)
        assert make(least=least).blocks(query, key) is not None
        assert make(least=least + 1).blocks(query, key) is None
        assert make(least=least).blocks(query[:, :, 1:], key) is None


def test_finds_what_was_planted():
    query, key, value, grid = planted(2048, heads=2, block=64, chosen=2, causal=True)
    module = SelectedBlocks(heads=2, dim=64, share=0.98)
    chosen = module.blocks(query, key, mask=Mask.causal())
    assert (chosen >= grid).all()
    assert chosen.float().mean() < 0.2
    exact = scaled_dot_attention(query, key, value, mask=Mask.causal())
    error = module(query, key, value, mask=Mask.causal()) - exact
    assert error.norm() <= 0.01 * exact.norm()


def test_more_is_read_for_a_larger_share():
    query, key, _ = tensors()
    chosen = [make(share=share).blocks(query, key) for share in (0.1, 0.5, 0.9)]
    counts = [int(blocks.sum()) for blocks in chosen]
    assert counts == sorted(set(counts))
    assert all((less <= more).all() for less, more in pairwise(chosen))


@pytest.mark.parametrize("mask", [PADDED, Mask.causal() & PADDED], ids=repr)
@pytest.mark.parametrize("worth", [50.0, -50.0, float("inf")])
def test_padding_decides_nothing(mask, worth):
    query, key, value = tensors()
    module = make()
    want = module(query, key, value, mask=mask)
    key[0, :, 30:], value[0, :, 30:] = worth, worth
    assert torch.equal(module(query, key, value, mask=mask), want)


def test_a_later_query_decides_only_for_its_block():
    query, key, value = tensors()
    module = make()
    want = module(query, key, value, mask=Mask.causal())
    for tensor in (query, key, value):
        tensor[:, :, 24:] = 50.0
    after = module(query, key, value, mask=Mask.causal())
    assert torch.equal(after[:, :, :24], want[:, :, :24])


def test_a_query_that_sees_nothing_gives_0():
    query, key, value = (x.requires_grad_() for x in tensors())
    mask = Mask.lengths(torch.tensor([0, 50]))
    output = make()(query, key, value, mask=mask)
    assert not output[0].any()
    output.square().sum().backward()
    assert not query.grad[0].any()
    assert query.grad[1].isfinite().all()
    assert query.grad[1].any()


def test_works_in_an_attention_module_and_is_traced():
    attention = Attention(width=32, heads=4, mechanism=make(block=8))
    x = 3 * draw(2, 50, 32)
    attention(x, mask=Mask.causal()).sum().backward()
    assert all(p.grad.isfinite().all() for p in attention.parameters())

    class Causal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            return self.attention(x, mask=Mask.causal())

    traced = torch.export.export(Causal(), (x,)).module()
    torch.testing.assert_close(traced(x), Causal()(x), rtol=0, atol=1e-5)


def test_rejects_what_does_not_fit():
    query, key, value = tensors()
    with pytest.raises(ShapeError, match="key must be 4-D"):
        make()(query, key[0], value)
    with pytest.raises(ShapeError, match="same batch size"):
        make()(query, key[:1], value)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"share": 0.0}, "share must be above 0 and at most 1, got 0.0"),
        ({"share": 1.2}, "share must be above 0 and at most 1, got 1.2"),
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"least": 0}, "least must be at least 1, got 0"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make(**settings)
