"""The parts of a mask together say what the mask says, and plain masks make no tensors."""

import itertools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask, Pattern
from heedful.mask._pattern import NO_BOUND
from heedful.testing.masks import MASKS, Sizes

CASES = {
    "fewer_queries": Sizes(),
    "more_queries": Sizes(queries=7, keys=5),
    "square": Sizes(queries=7),
    "one_query": Sizes(queries=1),
    "one_key": Sizes(keys=1, batch=1),
}
# what those of heedful.testing lack
MORE = {
    "anticausal_start": lambda sizes: Mask.anticausal("start"),
    "window_start": lambda sizes: Mask.window(3, ahead=1, align="start"),
    "window_many_sinks": lambda sizes: Mask.window(1, ahead=2, sinks=3),
    "window_start_sinks": lambda sizes: Mask.window(4, sinks=2, align="start"),
    "neighbourhood": lambda sizes: Mask.neighbourhood((sizes.keys,), (3,)),
    "other_lengths": lambda sizes: Mask.lengths(torch.tensor([sizes.keys, 1][: sizes.batch])),
    "other_blocks": lambda sizes: Mask.blocks(
        bools(sizes.batch, 1, -(-sizes.queries // 2), -(-sizes.keys // 2)), block=2
    ),
    "other_segments": lambda sizes: Mask.segments(
        torch.arange(sizes.queries).expand(sizes.batch, -1) % 2,
        torch.arange(sizes.keys).expand(sizes.batch, -1) % 2,
    ),
}
KINDS = [kind for kind in MASKS if kind != "none"] + list(MORE)


def bools(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5


def make(kind, sizes):
    if sizes.keys == 1 and kind in ("lengths", "both", "either"):
        pytest.skip("this mask takes away two keys")
    if kind == "neighbourhood" and sizes.queries != sizes.keys:
        pytest.skip("a neighbourhood has as many queries as keys")
    return MORE[kind](sizes) if kind in MORE else MASKS[kind](sizes)[0]


def split(mask, sizes):
    return mask.pattern(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)


def rebuild(pattern, sizes):
    """What the parts say, pair by pair."""
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    table = torch.zeros(shape, dtype=torch.bool)
    dense = None if pattern.dense is None else pattern.dense.expand(shape)
    grid = pattern.grid
    if grid is not None:
        grid = grid.expand(*shape[:2], *grid.shape[2:])
    for b, h, i, j in itertools.product(*map(range, shape)):
        near = pattern.low <= j - i <= pattern.high
        seen = near or (j < pattern.sinks and j - i <= pattern.high)
        if pattern.lengths is not None:
            seen = seen and j < pattern.lengths[b]
        if pattern.query_ids is not None:
            seen = seen and pattern.query_ids[b, i] == pattern.key_ids[b, j]
        if grid is not None:
            seen = seen and grid[b, h, i // pattern.block, j // pattern.block]
        table[b, h, i, j] = bool(seen) and (dense is None or bool(dense[b, h, i, j]))
    return table


def agree(mask, sizes):
    visible = mask.to_bool(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    want = torch.ones(shape, dtype=torch.bool) if visible is None else visible.expand(shape)
    pattern = split(mask, sizes)
    check_tensors(pattern, sizes)
    assert torch.equal(rebuild(pattern, sizes), want)
    seen = mask.seen(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)
    by_key = torch.ones_like(want[:, :, 0]) if seen is None else seen.expand_as(want[:, :, 0])
    assert torch.equal(by_key, want.any(2))


def check_tensors(pattern, sizes):
    """Types, shapes and strides that a kernel may count on."""
    batch, queries, keys = sizes.batch, sizes.queries, sizes.keys
    for tensor, shape in (
        (pattern.lengths, (batch,)),
        (pattern.query_ids, (batch, queries)),
        (pattern.key_ids, (batch, keys)),
    ):
        if tensor is not None:
            assert tensor.dtype == torch.int64
            assert tensor.shape == shape
            assert tensor.is_contiguous()
    assert (pattern.query_ids is None) == (pattern.key_ids is None)
    if pattern.grid is None:
        assert pattern.block == 1
    else:
        assert pattern.grid.dtype == torch.bool
    if pattern.dense is not None:
        assert pattern.dense.dtype == torch.bool
        assert pattern.dense.ndim == 4


# ---- meaning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_one_kind(case, kind):
    agree(make(kind, CASES[case]), CASES[case])


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("case", ["fewer_queries", "square"])
def test_two_kinds(case, first):
    sizes = CASES[case]
    one = make(first, sizes)
    for second in KINDS:
        if second != "neighbourhood" or case == "square":
            other = make(second, sizes)
            agree(one & other, sizes)
            agree(one | other, sizes)


@pytest.mark.parametrize("seed", range(12))
def test_many_kinds(seed):
    generator = torch.Generator().manual_seed(seed)
    case = ("fewer_queries", "more_queries", "square")[seed % 3]
    sizes = CASES[case]
    kinds = [kind for kind in KINDS if kind != "neighbourhood" or case == "square"]
    for _ in range(8):
        a, b, c, d = (
            make(kinds[i], sizes) for i in torch.randint(len(kinds), (4,), generator=generator)
        )
        for mask in (a & b & c, (a | b) & c, a & b & c & d, (a & b) | (c & d)):
            agree(mask, sizes)


@pytest.mark.parametrize("align", ["end", "start"])
@pytest.mark.parametrize("one", [(1, 0), (1, 2), (3, 0), (3, 2), (3, 4)], ids=str)
@pytest.mark.parametrize("other", [(1, 1), (2, 0), (2, 3), (4, 2)], ids=str)
def test_two_windows(one, other, align):
    sizes = Sizes(queries=7, keys=6)
    first = Mask.window(one[0], sinks=one[1], ahead=1)
    agree(first & Mask.window(other[0], sinks=other[1], align=align), sizes)


# ---- where each part belongs ---------------------------------------------------------------------


def test_by_hand():
    lengths, ids = torch.tensor([3, 6]), torch.tensor([[1, 1, 2, 2, 2], [0, 0, 0, 3, 3]])
    keys = torch.tensor([[1, 1, 1, 2, 2, 2, 2], [0, 0, 0, 0, 3, 3, 3]])
    grid = bools(2, 4, 2, 3)
    mask = (
        Mask.causal()
        & Mask.window(3, sinks=2)
        & Mask.lengths(lengths)
        & Mask.segments(ids, keys)
        & Mask.blocks(grid, block=3)
    )
    pattern = mask.pattern(5, 7, batch=2, heads=4)
    assert pattern[:3] == (0, 2, 2)
    for got, want in zip(pattern[3:7], (lengths, ids, keys, grid), strict=True):
        assert torch.equal(got, want)
    assert pattern[7:] == (3, None)


@pytest.mark.parametrize(
    "mask, band",
    [
        (Mask.full(), (-NO_BOUND, NO_BOUND, 0)),
        (Mask.causal(), (-NO_BOUND, 2, 0)),
        (Mask.causal("start"), (-NO_BOUND, 0, 0)),
        (Mask.anticausal(), (2, NO_BOUND, 0)),
        (Mask.anticausal("start"), (0, NO_BOUND, 0)),
        (Mask.window(3, ahead=1, sinks=2), (0, 3, 2)),
        (Mask.window(4, sinks=2, align="start"), (-3, 0, 2)),
        (Mask.causal() & Mask.anticausal("start"), (0, 2, 0)),
        (Mask.window(3, sinks=1) & Mask.window(2), (1, 2, 0)),
        (Mask.window(3, sinks=1) & Mask.window(3, sinks=2, ahead=1), (0, 2, 1)),
    ],
    ids=str,
)
def test_bands(mask, band):
    assert mask.pattern(5, 7, batch=2, heads=4) == Pattern(*band)


@pytest.mark.parametrize(
    "mask, queries, plain",
    [
        (Mask.causal(), 1, Mask.full()),
        (Mask.window(9), 5, Mask.causal()),
        (Mask.window(9) & Mask.lengths(torch.tensor([7, 7])), 5, Mask.causal()),
        (Mask.dense(torch.ones(5, 7, dtype=torch.bool)), 5, Mask.full()),
    ],
    ids=str,
)
def test_what_hides_nothing_is_left_out(mask, queries, plain):
    sizes = {"batch": 2, "heads": 4}
    assert mask.pattern(queries, 7, **sizes) == plain.pattern(queries, 7, **sizes)


def test_a_band_that_is_none_is_lowered_alone():
    mask = Mask.window(2, sinks=3) & Mask.window(4, sinks=1) & Mask.lengths(torch.tensor([3, 6]))
    pattern = mask.pattern(7, 7, batch=2, heads=4)
    assert pattern[:3] == (-1, 0, 3)
    assert pattern.lengths is not None
    assert torch.equal(pattern.dense, Mask.window(4, sinks=1).to_bool(7, 7))


def test_the_shorter_of_two_lengths_counts():
    mask = Mask.lengths(torch.tensor([3, 6])) & Mask.lengths(torch.tensor([5, 2]))
    pattern = mask.pattern(5, 7, batch=2, heads=4)
    assert pattern.lengths.tolist() == [3, 2]
    assert pattern.dense is None


def test_ids_are_contiguous_whatever_was_given():
    ids = torch.arange(14).view(7, 2).T
    pattern = Mask.segments(ids).pattern(7, 7, batch=2, heads=4)
    check_tensors(pattern, Sizes(queries=7))
    assert torch.equal(pattern.query_ids, ids)


# ---- cost ----------------------------------------------------------------------------------------


class Counting(TorchDispatchMode):
    """Notes every operation on tensors that makes one."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "mask",
    [
        Mask.full(),
        Mask.causal(),
        Mask.anticausal(),
        Mask.window(2, sinks=1),
        Mask.lengths(torch.tensor([3, 6])),
        Mask.segments(torch.arange(14).view(2, 7)),
        Mask.causal() & Mask.lengths(torch.tensor([3, 6])),
    ],
    ids=str,
)
def test_plain_masks_make_no_tensors(mask):
    with Counting() as counting:
        mask.pattern(7, 7, batch=2, heads=4)
    assert counting.calls == []
    with Counting() as counting:
        (mask & Mask.neighbourhood((7,), (3,))).pattern(7, 7, batch=2, heads=4)
    assert counting.calls


def test_tensors_of_the_mask_are_not_copied():
    table, grid = bools(2, 4, 7, 7), bools(2, 4, 3, 3)
    dense, blocks = Mask.dense(table), Mask.blocks(grid, block=3)
    first, second = ((dense & blocks).pattern(7, 7, batch=2, heads=4) for _ in range(2))
    assert first.dense.data_ptr() == second.dense.data_ptr()
    assert first.grid.data_ptr() == second.grid.data_ptr()


# ---- while a graph is made -----------------------------------------------------------------------


class Distances(torch.nn.Module):
    """The mask as a kernel would apply it, from its parts."""

    def forward(self, scores, lengths):
        batch, heads, queries, keys = scores.shape
        mask = Mask.window(3, sinks=1) & Mask.lengths(lengths)
        pattern = mask.pattern(queries, keys, batch=batch, heads=heads)
        key = torch.arange(keys)
        distance = key - torch.arange(queries)[:, None]
        near = (distance >= pattern.low) | (key < pattern.sinks)
        seen = near & (distance <= pattern.high) & (key < pattern.lengths[:, None, None, None])
        return scores.masked_fill(~seen, 0.0)


def test_where_nobody_asks_no_key_is_seen():
    mask = Mask.window(2) | Mask.anticausal()
    assert not mask.seen(0, 7).any()


class Seen(torch.nn.Module):
    """Which keys any query sees."""

    def forward(self, scores, lengths):
        batch, heads, queries, keys = scores.shape
        mask = Mask.window(3, sinks=1) & Mask.lengths(lengths)
        return mask.seen(queries, keys, batch=batch, heads=heads)


@pytest.mark.parametrize("kind", [Distances, Seen])
def test_can_be_exported_with_sizes_that_vary(kind):
    queries, keys = torch.export.Dim("queries", min=8), torch.export.Dim("keys", min=8)
    exported = torch.export.export(
        kind(),
        (torch.ones(2, 4, 9, 11), torch.tensor([7, 7])),
        dynamic_shapes=({2: queries, 3: keys}, None),
    ).module()
    for sizes in ((9, 11), (12, 20), (30, 8)):
        scores, lengths = torch.ones(2, 4, *sizes), torch.tensor([2, 6])
        want = Mask.window(3, sinks=1) & Mask.lengths(lengths)
        visible = want.to_bool(*sizes, batch=2, heads=4)
        answer = scores.masked_fill(~visible, 0.0) if kind is Distances else visible.any(2)
        assert torch.equal(exported(scores, lengths), answer)


def test_can_be_compiled_with_sizes_that_vary():
    torch.compiler.reset()
    compiled = torch.compile(Distances(), fullgraph=True, dynamic=True, backend="eager")
    for sizes in ((9, 11), (12, 20), (30, 8)):
        scores, lengths = torch.ones(2, 4, *sizes), torch.tensor([2, 6])
        assert torch.equal(compiled(scores, lengths), Distances()(scores, lengths))
    torch.compiler.reset()


# ---- refusals ------------------------------------------------------------------------------------


def test_rejects_sizes_that_do_not_fit():
    with pytest.raises(ShapeError, match="lengths must have one entry per batch row, got 2 for"):
        (Mask.causal() & Mask.lengths(torch.tensor([3, 6]))).pattern(5, 7, batch=3, heads=4)
    with pytest.raises(ConfigError, match="lengths must not exceed keys, got 6 for keys=4"):
        Mask.lengths(torch.tensor([3, 6])).pattern(5, 4, batch=2, heads=4)
