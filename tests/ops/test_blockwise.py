"""Block-wise attention is attention: whatever the blocks, and however the keys are divided."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.blockwise import (
    blockwise_attention,
    blockwise_partial,
    blockwise_weights,
    merge,
)
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

NEVER = float("-inf")


class TestBlockwise(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["blockwise"]


class TestPromise(ApproximationContract):
    """Nothing is approximated, so only the cost is promised."""

    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=blockwise_attention,
            exact=None,
            budgets=[128],
            settings=lambda block, sizes, generator: {"block": block},
            full="every block size is",
            growth="quadratic",
            smaller=4,
            masks=tuple(MASKS),
        )


def draw(*, queries=11, keys=13, heads=4, kv_heads=2, dim=3, value_dim=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = ((heads, queries, dim), (kv_heads, keys, dim), (kv_heads, keys, value_dim))
    return [
        torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in shapes
    ]


def same(actual, want, *, keys=13, dim=3, largest=5.0):
    limit = 2 * roundings(actual.dtype, dim, keys, keys)
    assert_close(actual, want, roundings=limit, largest=largest)


@pytest.mark.parametrize("block", [1, 2, 4, 13, 512])
@pytest.mark.parametrize("kind", MASKS)
def test_blocks_do_not_matter(kind, block):
    sizes = Sizes(queries=7, keys=7)
    query, key, value = draw(queries=7, keys=7)
    mask, _ = MASKS[kind](sizes)
    want = scaled_dot_attention(query, key, value, mask=mask, scale=0.7)
    actual = blockwise_attention(query, key, value, mask=mask, scale=0.7, block=block)
    same(actual, want)


def test_weights_are_those_of_scaled_dot():
    query, key, _ = draw()
    want = scaled_dot_weights(query, key, mask=Mask.causal(), scale=0.7)
    assert torch.equal(blockwise_weights(query, key, block=2, mask=Mask.causal(), scale=0.7), want)


@pytest.mark.parametrize("split", range(14))
def test_parts_of_the_keys_merge_to_the_whole(split):
    query, key, value = (x.requires_grad_() for x in draw())
    tensors = (query, key, value)
    visible = torch.rand(11, 13, generator=torch.Generator().manual_seed(2)) < 0.4
    visible[3] = False
    whole, log_sum = blockwise_partial(*tensors, block=4, mask=Mask.dense(visible))
    parts = [
        blockwise_partial(
            query, key[:, :, cut], value[:, :, cut], block=4, mask=Mask.dense(visible[:, cut])
        )
        for cut in (slice(0, split), slice(split, 13))
    ]
    merged, total = merge(*zip(*parts, strict=True))
    same(merged, whole)
    same(total.exp(), log_sum.exp(), largest=log_sum.exp().max().item())
    assert (merged[:, :, 3] == 0).all()
    assert (total[:, :, 3] == NEVER).all()
    weights = torch.randn(
        merged.shape, generator=torch.Generator().manual_seed(3), dtype=merged.dtype
    )
    found = torch.autograd.grad((merged * weights).sum(), tensors)
    wanted = torch.autograd.grad((whole * weights).sum(), tensors)
    for one, other in zip(found, wanted, strict=True):
        same(one, other, largest=other.abs().max().item())


def test_many_parts_in_half_precision_are_rounded_once():
    query, key, value = draw(keys=64, dtype=torch.bfloat16)
    pairs = zip(key.split(2, 2), value.split(2, 2), strict=True)
    output, log_sum = blockwise_partial(query, key[:, :, :0], value[:, :, :0])
    for part in (blockwise_partial(query, *pair) for pair in pairs):
        output, log_sum = merge([output, part[0]], [log_sum, part[1]])
    want = scaled_dot_attention(query.double(), key.double(), value.double())
    assert output.dtype == log_sum.dtype == torch.float32
    same(output, want, keys=64)
    assert blockwise_attention(query, key, value).dtype == torch.bfloat16


def parts(count):
    generator = torch.Generator().manual_seed(4)
    outputs = list(torch.randn(count, 2, 3, 5, 4, generator=generator, dtype=torch.float64))
    log_sums = list(torch.randn(count, 2, 3, 5, generator=generator, dtype=torch.float64))
    return outputs, log_sums


def test_merging_is_associative_and_commutative():
    (a, b, c), (i, j, k) = parts(3)
    whole = merge([a, b, c], [i, j, k])
    left, right = merge([a, b], [i, j]), merge([b, c], [j, k])
    ways = [
        merge([left[0], c], [left[1], k]),
        merge([a, right[0]], [i, right[1]]),
        merge([c, a, b], [k, i, j]),
    ]
    for output, log_sum in ways:
        same(output, whole[0])
        same(log_sum, whole[1])


def test_a_part_that_saw_nothing_does_not_count_whatever_it_says():
    (a, b), (i, j) = parts(2)
    nothing = torch.full_like(j, NEVER)
    for rest in (b, torch.full_like(b, float("nan"))):
        output, log_sum = merge([a, rest], [i, nothing])
        same(output, a)
        same(log_sum, i)
    output, log_sum = merge([a, b], [nothing, nothing])
    assert (output == 0).all()
    assert (log_sum == NEVER).all()


def test_merging_parts_that_saw_nothing_has_finite_gradients():
    (a, b), (i, j) = parts(2)
    i[0], j[:, 1] = NEVER, NEVER
    inputs = [x.requires_grad_() for x in (a, b, i, j)]
    output, log_sum = merge(inputs[:2], inputs[2:])
    seen = log_sum.detach() > NEVER
    (output.sum() + log_sum[seen].sum()).backward()
    assert all(x.grad.isfinite().all() for x in inputs)


def test_log_sum_has_the_gradient_of_a_log_sum():
    query, key, value = draw(queries=3, keys=4, heads=2, kv_heads=1)
    inputs = [x.requires_grad_() for x in (query, key, value)]

    def attend(*tensors):
        return blockwise_partial(*tensors, block=2, mask=Mask.causal())

    assert torch.autograd.gradcheck(attend, inputs)
    assert torch.autograd.gradgradcheck(attend, inputs)


@pytest.mark.parametrize("kind", ["none", "causal", "lengths"])
def test_keeps_no_score_matrix_forward_or_backward(kind):
    tensors = [x.requires_grad_() for x in draw(queries=96, keys=128, dtype=torch.float32)]
    mask, _ = MASKS[kind](Sizes(keys=128, queries=96))
    cost = measure(lambda: blockwise_attention(*tensors, block=16, mask=mask).sum().backward())
    assert cost.largest <= max(x.numel() for x in tensors) * 4
    assert cost.largest < 2 * 4 * 96 * 128


def test_hidden_blocks_are_skipped():
    tensors = draw(queries=64, keys=64, dtype=torch.float32)
    full = measure(lambda: blockwise_attention(*tensors, block=8))
    causal = measure(lambda: blockwise_attention(*tensors, block=8, mask=Mask.causal()))
    window = measure(lambda: blockwise_attention(*tensors, block=8, mask=Mask.window(8)))
    assert causal.flops * 64 == full.flops * 36  # of 8 x 8 blocks, those up to the diagonal
    assert window.flops * 64 == full.flops * 15


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("kind", ["none", "causal", "lengths", "nothing"])
def test_derivatives_of_every_mode_agree(kind):
    tensors = draw(queries=7, keys=7)
    mask, _ = MASKS[kind](Sizes(queries=7, keys=7))

    def attend(query, key, value):
        return blockwise_attention(query, key, value, block=3, mask=mask)

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


def test_no_queries_and_no_keys():
    query, key, value = draw()
    assert blockwise_attention(query[:, :, :0], key, value).shape == (2, 4, 0, 5)
    output, log_sum = blockwise_partial(query, key[:, :, :0], value[:, :, :0])
    assert (output == 0).all()
    assert (log_sum == NEVER).all()


def test_rejects_what_does_not_fit():
    query, key, value = draw()
    for call in (blockwise_attention, blockwise_partial):
        with pytest.raises(ConfigError, match="block must be at least 1, got 0"):
            call(query, key, value, block=0)
        with pytest.raises(ConfigError, match="lengths must not exceed keys, got 14 for keys=13"):
            call(query, key, value, mask=Mask.lengths(torch.tensor([14, 1])))
    with pytest.raises(ConfigError, match="block must be at least 1, got -1"):
        blockwise_weights(query, key, block=-1)
    message = re.escape(
        "every output must have a log-sum-exp for each of its rows, got [(2, 3, 4)] and [(2, 4)]"
    )
    with pytest.raises(ShapeError, match=message):
        merge([torch.zeros(2, 3, 4)], [torch.zeros(2, 4)])
    with pytest.raises(ShapeError, match=re.escape("got [] and []")):
        merge([], [])
