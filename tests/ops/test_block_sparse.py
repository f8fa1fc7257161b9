"""Block-sparse attention reads the listed blocks, all of them, and no others."""

import re
from functools import partial

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings


class TestBlockSparse(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["block_sparse"]


def diagonal(near, sizes, generator):
    """Blocks of 16 that read themselves and `near` before."""
    place = torch.arange(sizes.keys // 16)
    behind = place[:, None] - place
    return {"blocks": ((0 <= behind) & (behind <= near))[None, None], "block": 16}


class TestPromise(ApproximationContract):
    """Nothing is approximated of what is listed, so only the cost is promised."""

    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=block_sparse_attention,
            exact=None,
            budgets=[1, 2],
            settings=diagonal,
            full="what is listed is exact",
            growth="quadratic",  # the list itself, of which there is one entry per pair of blocks
            smaller=32,
            masks=("none", "causal", "window", "lengths"),
        )


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_what_no_block_reads_cannot_matter(dtype):
    """Neither by its size, which half precision cannot sum up, nor by being no number at all."""
    query, key, value = (64 * x.abs().to(dtype) + 64 for x in draw(queries=12, keys=96))
    blocks = listed(1, 4, 3, 24)
    blocks[:, :, 1] = False
    blocks[..., -1] = False
    want = block_sparse_attention(query, key, value, blocks=blocks, block=4)
    assert want.isfinite().all()
    assert (want[:, :, 4:8] == 0).all()
    value[:, :, -4:] = float("nan")
    key[:, :, -4:] = float("nan")
    actual = block_sparse_attention(query, key, value, blocks=blocks, block=4)
    assert torch.equal(actual[:, :, 4:8], want[:, :, 4:8])


@pytest.mark.parametrize("heads", [1, 2])
def test_has_second_gradients(heads):
    tensors = draw(queries=3, keys=5, heads=2, kv_heads=1, dim=2, value_dim=2)
    blocks = listed(1, heads, 2, 3, density=0.6)
    mask = Mask.lengths(torch.tensor([2, 5]))

    def attend(*inputs):
        return block_sparse_attention(*inputs, blocks=blocks, block=2, mask=mask)

    inputs = [x.requires_grad_() for x in tensors]
    assert torch.autograd.gradcheck(attend, inputs)
    assert torch.autograd.gradgradcheck(attend, inputs)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("kind", ["none", "causal", "lengths", "nothing"])
def test_derivatives_of_every_mode_agree(kind):
    tensors = draw(queries=7, keys=7)
    mask, _ = MASKS[kind](Sizes(queries=7, keys=7))
    blocks = listed(2, 4, 3, 3)

    def attend(query, key, value):
        return block_sparse_attention(query, key, value, blocks=blocks, block=3, mask=mask)

    leaves = [x.clone().requires_grad_() for x in tensors]
    output = attend(*leaves)
    back = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).double()
    want = torch.autograd.grad(output, leaves, back)

    same(torch.func.vmap(attend)(*(x[None] for x in tensors))[0], output)
    by_func = torch.func.grad(lambda *x: (attend(*x) * back).sum(), argnums=(0, 1, 2))(*tensors)
    for actual, gradient in zip(by_func, want, strict=True):
        same(actual, gradient, largest=50.0)
    tangents = tuple(x.flip(2) for x in tensors)
    _, forward = torch.func.jvp(attend, tuple(tensors), tangents)
    along = sum((x * y).sum() for x, y in zip(want, tangents, strict=True))
    same((forward * back).sum(), along, largest=50.0)


@pytest.mark.parametrize("heads", [1, 4])
def test_the_gradient_costs_what_is_listed(heads):
    """Twice as long a text with as many blocks a row takes twice, not four times as much."""

    def allocated(length):
        tensors = [x.requires_grad_() for x in draw(queries=length, keys=length)]
        count = length // 8
        near = torch.eye(count, dtype=torch.bool).expand(1, heads, count, count)

        def run():
            block_sparse_attention(*tensors, blocks=near, block=8).sum().backward()

        return measure(run).allocated

    assert allocated(512) < 2.5 * allocated(256)


def test_costs_what_is_listed():
    tensors = draw(queries=128, keys=128, kv_heads=4, dtype=torch.float32)
    near = torch.eye(16, dtype=torch.bool)[None, None]
    twice = near | near.roll(1, -1)
    some = measure(lambda: block_sparse_attention(*tensors, blocks=near, block=8))
    more = measure(lambda: block_sparse_attention(*tensors, blocks=twice, block=8))
    assert more.flops == 2 * some.flops
    assert some.largest <= max(x.numel() for x in tensors) * 4


def test_blocks_that_the_mask_hides_for_all_cost_nothing():
    blocks = listed(1, 1, 4, 4, density=1.0)
    attend = partial(block_sparse_attention, *draw(queries=32, keys=32), blocks=blocks, block=8)
    mask = Mask.window(8, align="start") & Mask.lengths(torch.tensor([8, 8]))
    costs = [measure(attend).flops, measure(partial(attend, mask=mask)).flops]
    assert costs[0] == 2 * costs[1] > 0  # two of four blocks of queries see something


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
