"""Every mask means what a plain loop says, on every lowering; what does not fit is refused."""

import itertools
import re
import warnings
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes

CASES = {
    "fewer_queries": Sizes(),
    "more_queries": Sizes(queries=7, keys=5),
    "square": Sizes(queries=7),
    "one_query": Sizes(queries=1),
    "one_key": Sizes(keys=1, batch=1),
}
KINDS = [kind for kind in MASKS if kind != "none"]


def bools(*shape, share=0.5, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def spell_out(sees, sizes):
    """The meaning as a table, by loops."""
    table = torch.zeros(sizes.batch, sizes.heads, sizes.queries, sizes.keys, dtype=torch.bool)
    for b in range(sizes.batch):
        for h in range(sizes.heads):
            for i in range(sizes.queries):
                for j in range(sizes.keys):
                    table[b, h, i, j] = sees(b, h, i, j)
    return table


def lower(mask, sizes):
    """The dense lowering as a whole table."""
    visible = mask.to_bool(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    return torch.ones(shape, dtype=torch.bool) if visible is None else visible.expand(shape)


# ---- meaning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_means_what_the_loop_says(case, kind):
    sizes = CASES[case]
    if sizes.keys == 1 and kind in ("lengths", "both", "either"):
        pytest.skip("this mask takes away two keys")
    mask, sees = MASKS[kind](sizes)
    assert torch.equal(lower(mask, sizes), spell_out(sees, sizes))


@pytest.mark.parametrize("align", ["end", "start"])
@pytest.mark.parametrize("window", [1, 3, 6, 7, 8])
@pytest.mark.parametrize("ahead", [0, 2, 6])
@pytest.mark.parametrize("sinks", [0, 1, 4, 7])
@pytest.mark.parametrize("queries, keys", [(5, 7), (7, 5), (7, 7), (1, 7)])
def test_window(window, ahead, sinks, align, queries, keys):
    offset = keys - queries if align == "end" else 0

    def sees(b, h, i, j):
        p = i + offset
        return j <= p + ahead and (p - j < window or j < sinks)

    sizes = Sizes(queries=queries, keys=keys)
    mask = Mask.window(window, ahead=ahead, sinks=sinks, align=align)
    assert torch.equal(lower(mask, sizes), spell_out(sees, sizes))


def test_causal_by_hand():
    end, start = Mask.causal().to_bool(2, 3), Mask.causal(align="start").to_bool(2, 3)
    assert end[0, 0].int().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert start[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0]]


def test_window_by_hand():
    visible = Mask.window(2, sinks=1, ahead=1).to_bool(4, 5)
    assert visible[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 0, 1, 1, 1],
        [1, 0, 0, 1, 1],
    ]


def test_anticausal_by_hand():
    end, start = Mask.anticausal().to_bool(2, 3), Mask.anticausal("start").to_bool(2, 3)
    assert end[0, 0].int().tolist() == [[0, 1, 1], [0, 0, 1]]
    assert start[0, 0].int().tolist() == [[1, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("align", ["end", "start"])
@pytest.mark.parametrize("queries, keys", [(5, 7), (7, 5), (7, 7), (1, 7), (7, 1), (1, 1)])
def test_both_directions_together_see_everything_and_meet_at_the_query(queries, keys, align):
    sizes = Sizes(queries=queries, keys=keys)
    causal, anticausal = Mask.causal(align), Mask.anticausal(align)
    assert lower(causal | anticausal, sizes).all()
    met = lower(causal & anticausal, sizes)[0, 0].nonzero().tolist()
    offset = keys - queries if align == "end" else 0
    assert met == [[i, i + offset] for i in range(queries) if 0 <= i + offset < keys]


# shape, window: every one with a border, some wider than an axis
GRIDS = [
    ((6,), (3,)),
    ((6,), (5,)),
    ((2, 3), (1, 3)),
    ((2, 3), (3, 1)),
    ((3, 2), (1, 1)),
    ((1, 3, 2), (1, 3, 3)),
    ((6,), (7,)),
    ((3, 4), (3, 3)),
    ((4, 5), (3, 5)),
]


@pytest.mark.parametrize("shape, window", GRIDS, ids=str)
def test_neighbourhood(shape, window):
    places = list(itertools.product(*map(range, shape)))
    starts = [
        [min(max(x - width // 2, 0), max(size - width, 0)) for x in range(size)]
        for size, width in zip(shape, window, strict=True)
    ]

    def sees(b, h, i, j):
        return all(
            starts[axis][places[i][axis]] <= y < starts[axis][places[i][axis]] + window[axis]
            for axis, y in enumerate(places[j])
        )

    sizes = Sizes(queries=len(places), keys=len(places))
    visible = lower(Mask.neighbourhood(shape, window), sizes)
    assert torch.equal(visible, spell_out(sees, sizes))
    assert len(visible.sum(-1).unique()) == 1


def test_neighbourhood_by_hand():
    visible = Mask.neighbourhood((5,), (3,)).to_bool(5, 5)
    assert visible[0, 0].int().tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1],
    ]


def test_neighbourhood_is_a_mask_like_any_other():
    mask = Mask.neighbourhood((2, 3), (1, 3)) & Mask.lengths(torch.tensor([4, 6]))
    sizes = Sizes(queries=6, keys=6)
    want = lower(mask, sizes)
    assert torch.equal(lower(mask.select(torch.tensor([1, 0])), sizes), want[[1, 0]])
    at = torch.meshgrid(*(torch.arange(size) for size in want.shape), indexing="ij")
    assert torch.equal(mask.at(*at, queries=6, keys=6), want)
    assert mask.factors(6, 6, batch=2) is None
    assert mask == Mask.neighbourhood((2, 3), (1, 3)) & Mask.lengths(torch.tensor([4, 6]))
    assert mask.to("cpu") == mask
    assert Mask.neighbourhood((2, 3), (3, 3)).to_bool(6, 6) is None
    assert not mask.is_causal(6, 6)


def test_segments_of_self_attention():
    visible = Mask.segments(torch.tensor([[0, 0, 4], [1, 2, 1]])).to_bool(3, 3, batch=2)
    assert visible[0, 0].int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert visible[1, 0].int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_and_or(first, second):
    sizes = Sizes()
    (a, sees_a), (b, sees_b) = MASKS[first](sizes), MASKS[second](sizes)
    table_a, table_b = spell_out(sees_a, sizes), spell_out(sees_b, sizes)
    assert torch.equal(lower(a & b, sizes), table_a & table_b)
    assert torch.equal(lower(a | b, sizes), table_a | table_b)


def test_full_absorbs():
    full, causal = Mask.full(), Mask.causal()
    assert (full & causal) is causal
    assert (causal & full) is causal
    assert (full | causal) is full
    assert (causal | full) is full


# ---- lowerings -----------------------------------------------------------------------------------


def test_dense_lowering_expands_no_axis_without_need():
    lengths = Mask.lengths(torch.tensor([3, 7]))
    blocks = Mask.blocks(bools(1, 4, 3, 3), block=3)
    for mask, shape in [
        (lengths, (2, 1, 1, 7)),
        (Mask.causal(), (1, 1, 5, 7)),
        (lengths & Mask.causal(), (2, 1, 5, 7)),
        (Mask.dense(bools(5, 7)), (1, 1, 5, 7)),
        (Mask.dense(bools(2, 1, 1, 7)), (2, 1, 1, 7)),
    ]:
        assert mask.to_bool(5, 7, batch=2, heads=4).shape == shape
    assert blocks.to_bool(8, 7, batch=2, heads=4).shape == (1, 4, 8, 7)
    assert Mask.dense(torch.zeros(1, 1, dtype=torch.bool)).to_bool(5, 7).shape == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "mask",
    [
        Mask.full(),
        Mask.causal(),
        Mask.window(7),
        Mask.window(1, sinks=7),
        Mask.window(1, sinks=7, align="start", ahead=6),
        Mask.lengths(torch.tensor([7, 7])),
        Mask.dense(torch.ones(1, 7, dtype=torch.bool)),
        Mask.blocks(torch.ones(1, 1, 1, 3, dtype=torch.bool), block=3),
        Mask.causal() & Mask.lengths(torch.tensor([7, 7])),
        Mask.causal() | Mask.lengths(torch.tensor([2, 2])),
        Mask.anticausal("start"),
    ],
    ids=repr,
)
def test_none_when_one_query_sees_everything(mask):
    assert mask.to_bool(1, 7, batch=2, heads=4) is None
    assert mask.to_additive(1, 7, batch=2, heads=4, dtype=torch.float32) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["fewer_queries", "more_queries", "square", "one_query"])
def test_none_exactly_when_nothing_is_hidden(case, kind):
    sizes = CASES[case]
    mask, sees = MASKS[kind](sizes)
    visible = mask.to_bool(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)
    assert (visible is None) == bool(spell_out(sees, sizes).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_additive_is_zero_or_minus_infinity(dtype):
    mask = Mask.causal() & Mask.lengths(torch.tensor([3, 7]))
    added = mask.to_additive(5, 7, batch=2, heads=4, dtype=dtype)
    visible = mask.to_bool(5, 7, batch=2, heads=4)
    assert added.dtype == dtype
    assert torch.equal(added == 0, visible)
    assert torch.equal(added == float("-inf"), ~visible)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["fewer_queries", "more_queries", "square", "one_query"])
def test_block_mask_equals_dense_lowering(case, kind):
    from torch.nn.attention.flex_attention import flex_attention

    sizes = replace(CASES[case], keys=7, dim=16, value_dim=16)
    mask, _ = MASKS[kind](sizes)
    want = lower(mask, sizes)
    blocks = mask.to_block_mask(
        sizes.queries,
        sizes.keys,
        batch=sizes.batch,
        heads=sizes.heads,
        device="cpu",
        block_size=2,
    )
    at = torch.meshgrid(*(torch.arange(size) for size in want.shape), indexing="ij")
    assert torch.equal(blocks.mask_mod(*at).expand(want.shape), want)
    pad = torch.nn.functional.pad(want, (0, sizes.keys % 2, 0, sizes.queries % 2))
    some = pad.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).any(-1).any(-2)
    assert torch.equal(blocks.to_dense().bool().expand(some.shape), some)

    # Through the kernel: with scores of 0 and value = identity the output is the mask, row by row.
    query = torch.zeros(sizes.batch, sizes.heads, sizes.queries, 16)
    key = torch.zeros(sizes.batch, sizes.heads, sizes.keys, 16)
    value = torch.eye(sizes.keys, 16).expand(sizes.batch, sizes.heads, -1, -1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        output = flex_attention(query, key, value, block_mask=blocks)
    assert torch.equal(output[..., : sizes.keys] > 0, want)


def test_block_mask_of_a_neighbourhood():
    mask, sizes = Mask.neighbourhood((2, 3), (1, 3)), Sizes(queries=6, keys=6)
    blocks = mask.to_block_mask(6, 6, batch=2, heads=4, device="cpu", block_size=2)
    assert blocks.shape == (1, 1, 6, 6)
    want = lower(mask, sizes)
    at = torch.meshgrid(*(torch.arange(size) for size in want.shape), indexing="ij")
    assert torch.equal(blocks.mask_mod(*at).expand(want.shape), want)
    some = want[:1, :1].unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).any(-1).any(-2)
    assert torch.equal(blocks.to_dense().bool(), some)


def test_block_mask_stays_small_where_the_mask_does_not_depend():
    def shape(mask):
        return mask.to_block_mask(6, 6, batch=2, heads=4, device="cpu", block_size=3).shape

    assert shape(Mask.full()) == (1, 1, 6, 6)
    assert shape(Mask.causal()) == (1, 1, 6, 6)
    assert shape(Mask.lengths(torch.tensor([3, 6]))) == (2, 1, 6, 6)
    assert shape(Mask.dense(bools(1, 4, 6, 6))) == (1, 4, 6, 6)


def test_is_causal_only_where_a_kernel_may_be_told_so():
    assert Mask.causal().is_causal(7, 7)
    assert Mask.causal("start").is_causal(7, 7)
    assert Mask.window(7).is_causal(7, 7)
    assert not Mask.window(6).is_causal(7, 7)
    assert not Mask.window(7, ahead=1).is_causal(7, 7)
    assert not Mask.causal().is_causal(5, 7)
    assert not Mask.causal("start").is_causal(7, 5)
    assert not Mask.full().is_causal(7, 7)
    assert not (Mask.causal() & Mask.lengths(torch.tensor([6]))).is_causal(7, 7)


def test_can_be_traced():
    def attend(scores, lengths):
        mask = Mask.causal() & Mask.lengths(lengths)
        return scores.masked_fill(~mask.to_bool(5, 7, batch=2, heads=4), 0.0)

    class Attend(torch.nn.Module):
        def forward(self, scores, lengths):
            return attend(scores, lengths)

    scores = torch.ones(2, 4, 5, 7)
    exported = torch.export.export(Attend(), (scores, torch.tensor([7, 7]))).module()
    other = torch.tensor([2, 6])  # the trace must not have frozen the lengths it saw
    assert torch.equal(exported(scores, other), attend(scores, other))


# ---- some pairs only -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["fewer_queries", "more_queries", "square", "one_query"])
def test_at_is_the_dense_lowering_everywhere(case, kind):
    sizes = CASES[case]
    mask, _ = MASKS[kind](sizes)
    want = lower(mask, sizes)
    mask.check(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)
    lengths = {"queries": sizes.queries, "keys": sizes.keys}

    every = [x.flatten() for x in torch.meshgrid(*map(torch.arange, want.shape), indexing="ij")]
    some = torch.randperm(len(every[0]), generator=torch.Generator().manual_seed(4))[:100]
    for chosen in (every, [x[some] for x in every]):
        visible = mask.at(*chosen, **lengths)
        assert visible.dtype == torch.bool
        assert torch.equal(visible.expand(chosen[0].shape), want[tuple(chosen)])

    # index tensors that broadcast, each query with keys of its own
    batch, head, query = (
        torch.arange(n).view(shape)
        for n, shape in zip(want.shape, [(-1, 1, 1, 1), (-1, 1, 1), (-1, 1)], strict=False)
    )
    key = (query + torch.tensor([0, 2, 3])) % sizes.keys
    picked = want.gather(3, key.expand(*want.shape[:3], 3))
    visible = mask.at(batch, head, query, key, **lengths)
    assert torch.equal(visible.expand(picked.shape), picked)


def test_at_stays_small_where_the_mask_does_not_depend():
    batch, head = torch.arange(2)[:, None, None], torch.arange(4)[:, None]
    query, key = torch.tensor([0, 4, 4]), torch.tensor([3, 5, 6])
    lengths = {"queries": 5, "keys": 7}
    assert Mask.causal().at(batch, head, query, key, **lengths).shape == (3,)
    assert Mask.full().at(batch, head, query, key, **lengths).shape == ()
    mask = Mask.lengths(torch.tensor([3, 7]))
    assert mask.at(batch, head, query, key, **lengths).shape == (2, 1, 3)
    assert mask.at(*(x.to("meta") for x in (batch, head, query, key)), **lengths).is_meta


# ---- factors -------------------------------------------------------------------------------------

SPLIT = {
    "full": None,
    "causal": "end",
    "causal_start": "start",
    "lengths": None,
    "empty_text": None,
    "both": "end",
    "nothing": None,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["fewer_queries", "more_queries", "square"])
def test_factors_together_say_what_the_mask_says(case, kind):
    sizes = CASES[case]
    mask, _ = MASKS[kind](sizes)
    factors = mask.factors(sizes.queries, sizes.keys, batch=sizes.batch, heads=sizes.heads)
    assert (factors is not None) == (kind in SPLIT)
    if factors is not None:
        assert factors.causal == SPLIT[kind]
        assert torch.equal(joined(factors, sizes), lower(mask, sizes))


def joined(factors, sizes):
    """The two factors as a whole table."""
    shape = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    order = Mask.full() if factors.causal is None else Mask.causal(factors.causal)
    keys = torch.ones(shape, dtype=torch.bool)
    if factors.keys is not None:
        assert factors.keys.ndim == 3
        assert factors.keys.shape[2] == sizes.keys
        assert factors.keys.shape[0] in (1, sizes.batch)
        assert factors.keys.shape[1] in (1, sizes.heads)
        keys = factors.keys[:, :, None].expand(shape)
    return lower(order, sizes) & keys


@pytest.mark.parametrize(
    "mask, causal, shape",
    [
        (Mask.dense(bools(1, 7)), None, (1, 1, 7)),
        (Mask.dense(bools(1, 1)), None, (1, 1, 7)),
        (Mask.dense(bools(2, 4, 1, 7)), None, (2, 4, 7)),
        (Mask.blocks(bools(1, 4, 1, 3), block=3), None, (1, 4, 7)),
        (Mask.lengths(torch.tensor([3, 7])) & Mask.dense(bools(1, 4, 1, 7)), None, (2, 4, 7)),
        (Mask.causal("start") & Mask.causal("start"), "start", None),
        (Mask.causal() & Mask.lengths(torch.tensor([7, 7])), "end", None),
        (Mask.window(7) & Mask.dense(bools(1, 7)), "end", (1, 1, 7)),
        (Mask.window(7, ahead=6), None, None),
    ],
    ids=repr,
)
def test_what_can_be_split(mask, causal, shape):
    sizes = Sizes(queries=3)
    factors = mask.factors(3, 7, batch=2, heads=4)
    assert factors.causal == causal
    assert (None if factors.keys is None else tuple(factors.keys.shape)) == shape
    assert torch.equal(joined(factors, sizes), lower(mask, sizes))


@pytest.mark.parametrize(
    "mask",
    [
        Mask.causal() & Mask.causal("start"),
        Mask.anticausal(),
        Mask.causal() & Mask.window(2),
        Mask.causal() & Mask.dense(bools(3, 7)),
        Mask.causal() | Mask.lengths(torch.tensor([3, 6])),
        Mask.dense(bools(2, 4, 3, 7)),
        Mask.blocks(bools(1, 4, 2, 3), block=3),
    ],
    ids=repr,
)
def test_what_cannot_be_split(mask):
    queries = 6 if "blocks" in repr(mask) else 3
    assert mask.factors(queries, 7, batch=2, heads=4) is None


def test_factors_live_where_they_are_asked_for():
    mask = Mask.causal() & Mask.lengths(torch.tensor([3, 7]))
    assert mask.factors(5, 7, batch=2, device="meta").keys.is_meta


# ---- a value -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_equal_by_content(kind):
    sizes = Sizes()
    (mask, _), (same, _) = MASKS[kind](sizes), MASKS[kind](sizes)
    assert mask == same
    assert hash(mask) == hash(same)
    for other_kind in KINDS:
        other, _ = MASKS[other_kind](sizes)
        assert (mask == other) == (kind == other_kind)
    assert mask != "mask"


def test_different_content_is_different():
    assert Mask.lengths(torch.tensor([3, 7])) != Mask.lengths(torch.tensor([3, 6]))
    assert Mask.lengths(torch.tensor([3])) != Mask.lengths(torch.tensor([3, 3]))
    assert Mask.window(2) != Mask.window(3)
    assert Mask.window(2) != Mask.window(2, align="start")
    assert Mask.causal() != Mask.causal(align="start")
    assert Mask.anticausal() != Mask.anticausal(align="start")
    assert Mask.anticausal() != Mask.causal()
    assert Mask.neighbourhood((5,), (3,)) != Mask.neighbourhood((5,), (1,))
    assert Mask.neighbourhood((4, 3), (3, 3)) != Mask.neighbourhood((3, 4), (3, 3))
    assert Mask.blocks(bools(1, 1, 2, 2), block=2) != Mask.blocks(bools(1, 1, 2, 2), block=3)


def test_later_changes_of_a_tensor_do_not_reach_the_mask():
    for make, tensor in [
        (Mask.lengths, torch.tensor([3, 7])),
        (Mask.segments, torch.tensor([[1, 2, 3]])),
        (Mask.dense, bools(5, 7)),
        (lambda x: Mask.blocks(x, block=3), bools(1, 1, 2, 3)),
    ]:
        mask, same = make(tensor), make(tensor.clone())
        tensor.zero_()
        assert mask == same


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Mask.window(2).size = 3


def test_reads_as_it_is_written():
    lengths = Mask.lengths(torch.tensor([3, 7]))
    for mask, text in [
        (Mask.full(), "Mask.full()"),
        (Mask.causal(), "Mask.causal()"),
        (Mask.causal("start"), "Mask.causal(align='start')"),
        (Mask.anticausal(), "Mask.anticausal()"),
        (Mask.anticausal("start"), "Mask.anticausal(align='start')"),
        (Mask.neighbourhood((3, 4), (1, 3)), "Mask.neighbourhood((3, 4), (1, 3))"),
        (lengths, "Mask.lengths([3, 7])"),
        (Mask.window(2, sinks=4), "Mask.window(2, ahead=0, sinks=4, align='end')"),
        (Mask.segments(torch.tensor([[1, 2]])), "Mask.segments([[1, 2]], [[1, 2]])"),
        (Mask.dense(torch.zeros(1, 2, dtype=torch.bool)), "Mask.dense([[[[False, False]]]])"),
        (Mask.dense(bools(5, 7)), "Mask.dense(<(1, 1, 5, 7)>)"),
        (Mask.blocks(bools(2, 4, 3, 5), block=8), "Mask.blocks(<(2, 4, 3, 5)>, block=8)"),
        (
            (Mask.causal() | Mask.window(2)) & lengths,
            "(Mask.causal() | Mask.window(2, ahead=0, sinks=0, align='end')) & "
            "Mask.lengths([3, 7])",
        ),
    ]:
        assert repr(mask) == text


def test_to_moves_every_tensor():
    lengths = Mask.lengths(torch.tensor([3, 7]))
    mask = lengths & (Mask.causal() | Mask.segments(torch.tensor([[1, 2]])))
    moved = mask.to("meta")
    assert moved._rule.parts[0].values.device.type == "meta"
    assert moved._rule.parts[1].parts[1].key_ids.device.type == "meta"
    assert mask.to("cpu") == mask
    assert lengths.to_bool(5, 7, batch=2, device="meta").device.type == "meta"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "rows", [torch.tensor([1, 0, 1]), torch.tensor([1], dtype=torch.int32), torch.tensor([1, 0])]
)
def test_select_takes_batch_rows(kind, rows):
    sizes = Sizes()
    mask, _ = MASKS[kind](sizes)
    chosen = lower(mask.select(rows), replace(sizes, batch=len(rows)))
    assert torch.equal(chosen, lower(mask, sizes)[rows.long()])


def test_select_by_booleans():
    mask = Mask.lengths(torch.tensor([3, 7, 5])).select(torch.tensor([True, False, True]))
    assert mask == Mask.lengths(torch.tensor([3, 5]))


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: Mask.causal(align="left"),
            ConfigError,
            "align must be 'end' or 'start', got 'left'",
        ),
        (
            lambda: Mask.anticausal(align="right"),
            ConfigError,
            "align must be 'end' or 'start', got 'right'",
        ),
        (lambda: Mask.window(1.5), ConfigError, "window must be a whole number, got 1.5"),
        (lambda: Mask.window(float("nan")), ConfigError, "window must be a whole number, got nan"),
        (lambda: Mask.window(2, sinks="3"), ConfigError, "sinks must be a whole number, got '3'"),
        (lambda: Mask.window(2, ahead=None), ConfigError, "ahead must be a whole number, got None"),
        (
            lambda: Mask.window(torch.tensor(3)),
            ConfigError,
            "window must be a whole number, got tensor(3)",
        ),
        (
            lambda: Mask.neighbourhood((3, 4.0), (3, 3)),
            ConfigError,
            "shape must be a whole number, got 4.0",
        ),
        (
            lambda: Mask.blocks(torch.ones(1, 1, 2, 2, dtype=torch.bool), block=2.5),
            ConfigError,
            "block must be a whole number, got 2.5",
        ),
        (lambda: Mask.lengths([3, 4]), ConfigError, "lengths must be a tensor, got list"),
        (lambda: Mask.segments(None), ConfigError, "query_segments must be a tensor, got NoneType"),
        (lambda: Mask.dense("causal"), ConfigError, "tensor must be a tensor, got str"),
        (lambda: Mask.causal() & 3, ConfigError, "masks must be combined with masks, got int"),
        (
            lambda: Mask.causal() | torch.ones(2, 2),
            ConfigError,
            "masks must be combined with masks, got Tensor",
        ),
        (
            lambda: Mask(torch.ones(2, 2)),
            ConfigError,
            "a mask must be made by one of its constructors, such as Mask.dense(tensor) or "
            "Mask.causal(), got Mask(Tensor)",
        ),
        (
            lambda: Mask.causal().select([0]),
            ConfigError,
            "rows must be a tensor, got list",
        ),
        (lambda: Mask.window(0, ahead=5), ConfigError, "window must be at least 1, got 0"),
        (
            lambda: Mask.neighbourhood((), ()),
            ConfigError,
            "shape must have at least one axis, each at least 1, got ()",
        ),
        (
            lambda: Mask.neighbourhood((3, 0), (3, 3)),
            ConfigError,
            "shape must have at least one axis, each at least 1, got (3, 0)",
        ),
        (
            lambda: Mask.neighbourhood((3, 4), (5,)),
            ConfigError,
            "window must have one size per axis of shape=(3, 4), got (5,)",
        ),
        (
            lambda: Mask.neighbourhood((8, 9), (3, 4)),
            ConfigError,
            "window must be odd and at least 1 on every axis, got (3, 4)",
        ),
        (
            lambda: Mask.neighbourhood((8, 9), (-1, 5)),
            ConfigError,
            "window must be odd and at least 1 on every axis, got (-1, 5)",
        ),
        (lambda: Mask.window(2, ahead=-1), ConfigError, "ahead must not be negative, got -1"),
        (lambda: Mask.window(2, sinks=-3), ConfigError, "sinks must not be negative, got -3"),
        (
            lambda: Mask.window(2, align="middle"),
            ConfigError,
            "align must be 'end' or 'start', got 'middle'",
        ),
        (
            lambda: Mask.lengths(torch.tensor([2.0])),
            ConfigError,
            "lengths must hold integers, got torch.float32",
        ),
        (
            lambda: Mask.lengths(torch.tensor([True])),
            ConfigError,
            "lengths must hold integers, got torch.bool",
        ),
        (
            lambda: Mask.lengths(torch.tensor([[2, 3, 4]])),
            ShapeError,
            "lengths must be 1-D with at least one entry, got a tensor of shape (1, 3)",
        ),
        (
            lambda: Mask.lengths(torch.zeros(0, dtype=torch.long)),
            ShapeError,
            "lengths must be 1-D with at least one entry, got a tensor of shape (0,)",
        ),
        (
            lambda: Mask.lengths(torch.tensor([2, -3])),
            ConfigError,
            "lengths must not be negative, got -3",
        ),
        (
            lambda: Mask.segments(torch.zeros(2, 5)),
            ConfigError,
            "query_segments must hold integers, got torch.float32",
        ),
        (
            lambda: Mask.segments(torch.zeros(2, 5).long(), torch.zeros(2, 7).bool()),
            ConfigError,
            "key_segments must hold integers, got torch.bool",
        ),
        (
            lambda: Mask.segments(torch.zeros(5).long()),
            ShapeError,
            "query_segments must be 2-D (batch, length), got a tensor of shape (5,)",
        ),
        (
            lambda: Mask.segments(torch.zeros(2, 5).long(), torch.zeros(7).long()),
            ShapeError,
            "key_segments must be 2-D (batch, length), got a tensor of shape (7,)",
        ),
        (
            lambda: Mask.segments(torch.zeros(2, 5).long(), torch.zeros(3, 7).long()),
            ShapeError,
            "query_segments and key_segments must have the same batch size, got 2 and 3",
        ),
        (
            lambda: Mask.dense(torch.zeros(5, 7)),
            ConfigError,
            "tensor must be boolean (True = attend), got torch.float32",
        ),
        (
            lambda: Mask.dense(bools(2, 5, 7)),
            ShapeError,
            "tensor must be 2-D (queries, keys) or 4-D (batch, heads, queries, keys), "
            "got a tensor of shape (2, 5, 7)",
        ),
        (
            lambda: Mask.blocks(torch.zeros(2, 4, 3, 5).long(), block=2),
            ConfigError,
            "blocks must be boolean (True = attend), got torch.int64",
        ),
        (
            lambda: Mask.blocks(bools(3, 5), block=2),
            ShapeError,
            "blocks must be 4-D (batch, heads, query_blocks, key_blocks), "
            "got a tensor of shape (3, 5)",
        ),
        (
            lambda: Mask.blocks(bools(2, 4, 3, 5), block=0),
            ConfigError,
            "block must be at least 1, got 0",
        ),
    ],
)
def test_rejects_when_made(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    "mask, error, message",
    [
        (
            Mask.lengths(torch.tensor([1, 2, 3])),
            ShapeError,
            "lengths must have one entry per batch row, got 3 for batch=2",
        ),
        (
            Mask.lengths(torch.tensor([3, 8])),
            ConfigError,
            "lengths must not exceed keys, got 8 for keys=7",
        ),
        (
            Mask.segments(torch.zeros(2, 5).long()),
            ShapeError,
            "key_segments must be (batch, keys), got (2, 5) for batch=2, keys=7",
        ),
        (
            Mask.segments(torch.zeros(2, 7).long()),
            ShapeError,
            "query_segments must be (batch, queries), got (2, 7) for batch=2, queries=5",
        ),
        (
            Mask.segments(torch.zeros(3, 5).long(), torch.zeros(3, 7).long()),
            ShapeError,
            "query_segments must be (batch, queries), got (3, 5) for batch=2, queries=5",
        ),
        (
            Mask.neighbourhood((5, 1), (3, 1)),
            ShapeError,
            "a grid of shape (5, 1) must have 5 queries and keys, got queries=5, keys=7",
        ),
        (
            Mask.neighbourhood((7,), (3,)),
            ShapeError,
            "a grid of shape (7,) must have 7 queries and keys, got queries=5, keys=7",
        ),
        (
            Mask.dense(bools(7, 5)),
            ShapeError,
            "tensor must have 1 or queries=5 entries on its queries axis, got shape (1, 1, 7, 5)",
        ),
        (
            Mask.dense(bools(5, 8)),
            ShapeError,
            "tensor must have 1 or keys=7 entries on its keys axis, got shape (1, 1, 5, 8)",
        ),
        (
            Mask.dense(bools(3, 1, 5, 7)),
            ShapeError,
            "tensor must have 1 or batch=2 entries on its batch axis, got shape (3, 1, 5, 7)",
        ),
        (
            Mask.dense(bools(2, 2, 5, 7)),
            ShapeError,
            "tensor must have 1 or heads=4 entries on its heads axis, got shape (2, 2, 5, 7)",
        ),
        (
            Mask.blocks(bools(2, 3, 2, 3), block=3),
            ShapeError,
            "blocks must have 1 or heads=4 entries on its heads axis, got shape (2, 3, 2, 3)",
        ),
        (
            Mask.blocks(bools(3, 4, 2, 3), block=3),
            ShapeError,
            "blocks must have 1 or batch=2 entries on its batch axis, got shape (3, 4, 2, 3)",
        ),
        (
            Mask.blocks(bools(2, 4, 2, 2), block=3),
            ShapeError,
            "blocks must cover queries=5 and keys=7 with 2 x 3 blocks of 3, got shape (2, 4, 2, 2)",
        ),
    ],
    ids=repr,
)
def test_rejects_when_lowered(mask, error, message):
    for whole in (mask, Mask.causal() & mask, mask | Mask.causal()):
        with pytest.raises(error, match=re.escape(message)):
            whole.to_bool(5, 7, batch=2, heads=4)
        with pytest.raises(error, match=re.escape(message)):
            whole.to_additive(5, 7, batch=2, heads=4, dtype=torch.float32)
        with pytest.raises(error, match=re.escape(message)):
            whole.to_block_mask(5, 7, batch=2, heads=4, device="cpu")
        with pytest.raises(error, match=re.escape(message)):
            whole.factors(5, 7, batch=2, heads=4)
        with pytest.raises(error, match=re.escape(message)):
            whole.check(5, 7, batch=2, heads=4)


def test_rejects_settings_of_a_lowering():
    with pytest.raises(ConfigError, match=r"dtype must be floating-point, got torch.int32"):
        Mask.causal().to_additive(5, 7, dtype=torch.int32)
    with pytest.raises(ConfigError, match="block_size must be at least 1, got 0"):
        Mask.causal().to_block_mask(5, 7, batch=2, heads=4, device="cpu", block_size=0)


@pytest.mark.parametrize(
    "rows, error, message",
    [
        (torch.tensor([0.0]), ConfigError, "rows must hold integers, got torch.float32"),
        (torch.tensor([[0, 1]]), ShapeError, "rows must be 1-D, got a tensor of shape (1, 2)"),
        (torch.tensor([0, 5]), ConfigError, "rows must be in 0 to 1, got [0, 5]"),
        (torch.tensor([-1]), ConfigError, "rows must be in 0 to 1, got [-1]"),
        (
            torch.tensor([False] * 2),
            ShapeError,
            "rows must choose at least one batch row, got none",
        ),
        (
            torch.tensor([True] * 3),
            ShapeError,
            "rows must have one boolean per batch row, got 3 for 2",
        ),
    ],
)
def test_rejects_rows_that_do_not_exist(rows, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Mask.lengths(torch.tensor([3, 7])).select(rows)
