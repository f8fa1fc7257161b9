"""FlexAttention gets the blocks of a grid, and sees what the mask says."""

import re

import pytest
import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from heedful.kernels import flex, sdpa
from heedful.kernels.attend import attend
from heedful.kernels.call import Call
from heedful.mask import Mask
from heedful.testing.tolerance import assert_close, roundings

# without a compiler it stores all scores, and says so
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def grid(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) < 0.4


@pytest.fixture
def eager(monkeypatch):
    """The same function without its compiler, which takes seconds."""
    monkeypatch.setattr(flex, "_compiled", [flex_attention])


def blocks(queries, keys, block, batch=1, heads=1):
    cells = grid(batch, heads, -(-queries // block), -(-keys // block))
    return Mask.blocks(cells, block=block)


def agrees(call):
    want = sdpa.run(Call.of(*(x.double() for x in call[:3]), *call[3:]))
    limit = roundings(torch.float32, call.query.shape[3], *[call.key.shape[2]] * 2)
    assert_close(flex.run(call), want, roundings=limit, largest=float(call.value.abs().max()))


@pytest.mark.parametrize(
    "block, queries, keys, batch, heads",
    [
        *((16, 200, 420, 1, 1), (64, 300, 300, 2, 4), (128, 300, 300, 1, 4), (128, 1, 260, 2, 1)),
        *((256, 300, 420, 2, 4), (48, 200, 300, 1, 1)),
    ],
)
def test_blocks_of_any_size(eager, block, queries, keys, batch, heads):
    query, key, value = draw(2, 4, queries, 16), draw(2, 2, keys, 16), draw(2, 2, keys, 8)
    mask = blocks(queries, keys, block, batch, heads)
    agrees(Call.of(query, key, value, mask))
    agrees(Call.of(query, key, value, mask & Mask.causal(), draw(4, 1, keys, seed=2), 0.3))


def seen_in_blocks(found, queries, keys):
    """What the lists of blocks let through, as a compiled kernel reads them."""
    rows, columns = (torch.arange(length) for length in (queries, keys))
    batch, heads, *_ = found.kv_indices.shape
    seen = torch.zeros(2, 4, queries, keys, dtype=torch.bool)
    for b in range(2):
        for h in range(4):
            where = torch.tensor(b), torch.tensor(h), rows[:, None], columns
            rule = found.mask_mod(*where).expand(queries, keys)
            for some in (True, False):
                counts = found.kv_num_blocks if some else found.full_kv_num_blocks
                numbers = found.kv_indices if some else found.full_kv_indices
                for i, j in pairs(counts[b % batch, h % heads], numbers[b % batch, h % heads]):
                    part = slice(i * 128, (i + 1) * 128), slice(j * 128, (j + 1) * 128)
                    seen[b, h][part] = rule[part] if some else True
    return seen


def pairs(counts, numbers):
    for i, (count, row) in enumerate(zip(counts.tolist(), numbers.tolist(), strict=True)):
        yield from ((i, j) for j in row[:count])


@pytest.mark.parametrize(
    "other",
    [
        Mask.full(),
        Mask.causal(),
        Mask.window(70, ahead=9, sinks=3),
        Mask.window(200, ahead=140, sinks=130),
        Mask.anticausal("start"),
        Mask.lengths(torch.tensor([0, 419])),
        Mask.segments(
            (torch.arange(500) // 90).expand(2, -1), (torch.arange(420) // 90).expand(2, -1)
        ),
        Mask.dense(torch.rand(500, 420, generator=torch.Generator().manual_seed(3)) < 0.5),
        Mask.blocks(grid(1, 4, 17, 14), block=30),
    ],
    ids=repr,
)
@pytest.mark.parametrize("block, batch, heads", [(32, 1, 4), (64, 2, 1), (128, 1, 4), (256, 2, 4)])
def test_blocks_and_what_else_hides(block, batch, heads, other):
    mask = blocks(500, 420, block, batch, heads) & other
    call = Call.of(draw(2, 4, 500, 16), draw(2, 4, 420, 16), draw(2, 4, 420, 16), mask)
    seen = seen_in_blocks(flex.block_mask(call), 500, 420)
    assert torch.equal(seen, call.visible().expand_as(seen))


@pytest.mark.parametrize("mask", [None, Mask.full(), Mask.causal(), Mask.window(9)])
def test_masks_without_blocks(eager, mask):
    agrees(Call.of(draw(2, 4, 30, 16), draw(2, 4, 50, 16), draw(2, 4, 50, 16), mask))


def call_of(mask, queries=512, keys=512, **more):
    return Call.of(
        draw(1, 2, queries, 16), draw(1, 2, keys, 16), draw(1, 2, keys, 16), mask, **more
    )


def listed(counts, numbers):
    """Which blocks each row of the first head has."""
    rows = zip(counts[0, 0].tolist(), numbers[0, 0].tolist(), strict=True)
    return [row[:count] for count, row in rows]


def test_whole_blocks_are_the_grid_and_the_rule_says_the_same():
    cells = grid(1, 1, 4, 4)
    found = flex.block_mask(call_of(Mask.blocks(cells, block=128)))
    assert isinstance(found, BlockMask)
    want = [row.nonzero()[:, 0].tolist() for row in cells[0, 0]]
    assert listed(found.full_kv_num_blocks, found.full_kv_indices) == want
    assert int(found.kv_num_blocks.sum()) == 0
    zero = torch.zeros((), dtype=torch.int64)
    for row, column in ((0, 1), (3, 2)):
        place = torch.tensor(row * 128 + 5), torch.tensor(column * 128 + 127)
        assert bool(found.mask_mod(zero, zero, *place)) is bool(cells[0, 0, row, column])


def test_a_causal_grid_asks_its_rule_on_the_diagonal_only():
    cells = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    cells[0, 0, 3, 1] = False
    found = flex.block_mask(call_of(Mask.blocks(cells, block=128) & Mask.causal()))
    assert listed(found.kv_num_blocks, found.kv_indices) == [[0], [1], [2], [3]]
    assert listed(found.full_kv_num_blocks, found.full_kv_indices) == [[], [0], [0, 1], [0, 2]]


def test_small_blocks_are_gathered():
    cells = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    cells[0, 0, :2, :2] = True
    cells[0, 0, 7, 7] = True
    found = flex.block_mask(call_of(Mask.blocks(cells, block=64)))
    assert listed(found.full_kv_num_blocks, found.full_kv_indices) == [[0], [], [], []]
    assert listed(found.kv_num_blocks, found.kv_indices) == [[], [], [], [3]]


def test_no_mask_no_blocks():
    assert flex.block_mask(call_of(None)) is None


@pytest.mark.parametrize(
    "dtypes, more, reason",
    [
        ("float32", {}, None),
        ("bfloat16", {}, None),
        ("float32", {"dropout": 0.5}, "FlexAttention has no dropout"),
        (
            "float64",
            {},
            "FlexAttention computes in single and half precision, got torch.float64",
        ),
    ],
)
def test_refuses_what_it_does_not_have(dtypes, more, reason):
    x = draw(2, 4, 5, 16, dtype=getattr(torch, dtypes))
    assert flex.refuses(Call.of(x, x, x, **more)) == reason


def test_refuses_a_gradient_on_cpu(kernels):
    x = draw(2, 4, 5, 16).requires_grad_()
    reason = "FlexAttention has no backward pass on CPU"
    assert flex.refuses(Call.of(x, x, x)) == reason
    with pytest.raises(RuntimeError, match=re.escape(reason)):
        attend(x, x, x, impl="flex")
    with torch.no_grad():
        assert flex.refuses(Call.of(x, x, x)) is None


class OnGpu:
    """As much of a tensor on a GPU as a refusal looks at."""

    def __init__(self, tensor, device="cuda"):
        self.tensor, self.device = tensor, torch.device(device)

    def __getattr__(self, name):
        return getattr(self.tensor, name)


def on_gpu(call, device="cuda"):
    return call._replace(query=OnGpu(call.query, device))


def test_on_a_gpu_it_takes_gradients_but_not_that_of_a_bias():
    x, bias = draw(2, 4, 5, 16).requires_grad_(), draw(5, 5)
    assert flex.refuses(on_gpu(Call.of(x, x, x, bias=bias))) is None
    reason = "FlexAttention sums the gradient of a bias in no fixed order"
    assert flex.refuses(on_gpu(Call.of(x, x, x, bias=bias.requires_grad_()))) == reason


def test_on_a_gpu_it_takes_no_small_dim():
    x = draw(2, 4, 5, 16)
    reason = "FlexAttention needs a dim of at least 16 on a GPU, got 8"
    assert flex.refuses(on_gpu(Call.of(x, x, x[..., :8]))) == reason
    assert flex.refuses(Call.of(x, x, x[..., :8])) is None


def test_other_devices_have_none():
    x = draw(2, 4, 5, 16)
    reason = "FlexAttention needs a CPU or a CUDA GPU, got mps"
    assert flex.refuses(on_gpu(Call.of(x, x, x), "mps")) == reason


def test_auto_takes_it_for_blocks_on_a_gpu():
    grid_call = call_of(blocks(512, 512, 128) & Mask.causal())
    assert flex.avoided(on_gpu(grid_call)) is None
    words = "it pays for masks that are given as blocks only"
    assert flex.avoided(on_gpu(call_of(Mask.causal()))) == words
    assert flex.avoided(on_gpu(call_of(None))) == words
    assert "on CPU only when asked for by name" in flex.avoided(grid_call)


def test_compiled_once_for_all_lengths(monkeypatch):
    made, asked = [], []

    def attention(query, key, value, **settings):
        asked.append((query.shape[2], settings["scale"], settings["enable_gqa"]))
        return query

    def compiler(function, **how):
        made.append((function, how))
        return attention

    monkeypatch.setattr(flex, "_compiled", [])
    monkeypatch.setattr(torch, "compile", compiler)
    x, y = draw(2, 4, 5, 16), draw(2, 2, 5, 16)
    flex.run(Call.of(x, x, x, scale=0.3))
    flex.run(Call.of(x[:, :, :4], y, y, scale=0.5))
    assert made == [(flex_attention, {"dynamic": True})]
    assert asked == [(5, 0.3, False), (4, 0.5, True)]
