"""What is offered keeps what matters, fits together, and is offered once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heedful.allocation.moves import (
    DropSite,
    KeepHeads,
    LowPrecision,
    QueryKeyRank,
    Recurrence,
    ShareKeyValue,
    ValueRank,
    Window,
)
from heedful.allocation.projections import Geometry, Mixing
from heedful.optimizing.operations import Usage
from heedful.optimizing.proposals import SINKS, SMALLEST_HEAD, WIDE, propose

HERE = Usage(queries=10, context=10, pairs=100, longest=10)


def geometry(heads, kv_heads=None, dim=32, mixing=None, width=64, precision=None):
    return Geometry(
        width=width,
        context=64,
        out=64,
        heads=heads,
        kv_heads=heads if kv_heads is None else kv_heads,
        dim=dim,
        value_dim=dim,
        mixing=mixing,
        precision=precision,
    )


def scores(heads, seed=0):
    return torch.randperm(heads, generator=torch.Generator().manual_seed(seed)).float()


@st.composite
def sites(draw):
    kv_heads, group = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    return geometry(kv_heads * group, kv_heads, draw(st.sampled_from([4, 8, 16, 32, 64])))


@given(site=sites(), seed=st.integers(0, 99))
def test_heads_that_stay_fit_and_matter_most(site, seed):
    values = scores(site.heads, seed)
    group = site.heads // site.kv_heads
    for _, moves in propose(site, values, HERE):
        kept = [move for move in moves if isinstance(move, KeepHeads)]
        for heads in (move.heads for move in kept):
            assert 0 < len(heads) < site.heads
            counts = {head // group: 0 for head in heads}
            for head in heads:
                counts[head // group] += 1
            assert len(set(counts.values())) == 1
            for key_head in counts:
                members = range(key_head * group, (key_head + 1) * group)
                best = sorted(members, key=lambda head: -values[head])[: counts[key_head]]
                assert set(best) <= set(heads)


@given(site=sites(), seed=st.integers(0, 99))
def test_nothing_twice_and_the_last_is_nothing_at_all(site, seed):
    found = propose(site, scores(site.heads, seed), HERE)
    moves = [moves for _, moves in found]
    assert len(set(moves)) == len(moves)
    assert found[-1] == ("dropped", (DropSite(),))


def test_four_heads_in_order_of_importance():
    found = propose(geometry(4, dim=8), torch.tensor([3.0, 1.0, 9.0, 2.0]), HERE)
    assert found == [
        ("3 heads", (KeepHeads(heads=(0, 2, 3)),)),
        ("3 heads on 1", (KeepHeads(heads=(0, 2, 3)), ShareKeyValue(kv_heads=1))),
        ("2 heads", (KeepHeads(heads=(0, 2)),)),
        ("2 heads on 1", (KeepHeads(heads=(0, 2)), ShareKeyValue(kv_heads=1))),
        ("1 head", (KeepHeads(heads=(2,)),)),
        ("4 heads on 2", (ShareKeyValue(kv_heads=2),)),
        ("4 heads on 1", (ShareKeyValue(kv_heads=1),)),
        ("recurrence", (Recurrence(),)),
        ("recurrence of 2", (KeepHeads(heads=(0, 2)), Recurrence())),
        ("dropped", (DropSite(),)),
    ]


def test_one_head_can_only_shrink_or_go():
    found = [moves for _, moves in propose(geometry(1, dim=32), torch.ones(1), HERE)]
    assert found == [
        (QueryKeyRank(rank=16), ValueRank(rank=16)),
        (QueryKeyRank(rank=8), ValueRank(rank=8)),
        (Recurrence(),),
        (DropSite(),),
    ]


def test_a_recurrence_stays():
    mixing = Mixing(name="gated_recurrence")
    assert propose(geometry(4, mixing=mixing), scores(4), HERE) == []


def test_what_looks_at_another_text_is_neither_dropped_nor_a_recurrence():
    usage = Usage(queries=10, context=10, pairs=100, longest=10, own=False)
    moves = [move for _, moves in propose(geometry(4), scores(4), usage) for move in moves]
    assert not any(isinstance(move, DropSite | Recurrence) for move in moves)


@pytest.mark.parametrize("dim, ranks", [(64, {32, 16}), (16, {8}), (8, set())])
def test_heads_do_not_become_too_small(dim, ranks):
    found = propose(geometry(2, dim=dim), scores(2), HERE)
    seen = {move.rank for _, moves in found for move in moves if isinstance(move, ValueRank)}
    assert seen == ranks
    assert all(rank >= SMALLEST_HEAD for rank in seen)


@pytest.mark.parametrize(
    "width, precision, offered",
    [(WIDE - 1, None, []), (WIDE, None, ["bf16", "int8"]), (WIDE, "bf16", [])],
)
def test_fewer_bits_are_for_wide_sites_and_once(width, precision, offered):
    found = propose(geometry(2, width=width, precision=precision), scores(2), HERE)
    seen = [move for _, moves in found for move in moves if isinstance(move, LowPrecision)]
    assert [move.precision for move in seen] == offered


@pytest.mark.parametrize(
    "longest, own, mixing, windows",
    [
        (255, True, None, []),
        (256, True, None, [64]),
        (2048, True, None, [64, 128, 256, 512]),
        (2048, False, None, []),
        (2048, True, Mixing(name="window", settings={"window": 9}), []),
    ],
)
def test_windows_are_for_long_texts_that_look_at_themselves(longest, own, mixing, windows):
    usage = Usage(queries=1, context=1, pairs=1, longest=longest, own=own)
    found = propose(geometry(2, mixing=mixing), scores(2), usage)
    seen = [move for _, moves in found for move in moves if isinstance(move, Window)]
    assert [move.window for move in seen] == windows
    assert {move.sinks for move in seen} <= {SINKS}
