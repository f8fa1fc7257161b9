"""Where the text is: padding does not count, empty room is no place, dropped keys are no first."""

import pytest
import torch
from torch import nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.cache import KeyValueCache
from heedful.probing.probe import probe
from heedful.probing.text_bounds import end_of, seen_by, seen_in, text_bounds_of

LENGTHS = torch.tensor([5, 2])
RIGHT = torch.arange(5) >= LENGTHS[:, None]  # True = padding
LEFT = RIGHT.flip(1)
CAUSAL = torch.ones(5, 5).tril().bool()


def visible_of(padding, *, causal):
    visible = (~padding)[:, None, None].expand(-1, 1, 5, -1)
    return visible & CAUSAL if causal else visible


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padding", [RIGHT, LEFT], ids=["right", "left"])
def test_padding_and_start(padding, causal):
    visible = visible_of(padding, causal=causal)
    every = torch.arange(5)
    pieces = [(every[:2], visible[:, :, :2]), (every[2:], visible[:, :, 2:])]
    for blocks in ([(every, visible)], pieces):
        found = text_bounds_of(blocks, batch=2, queries=5, end=torch.tensor(5))
        assert torch.equal(found.padding, padding)
        assert found.start.tolist() == [0, 0 if padding is RIGHT else 3]


def test_keys_that_masks_hide_for_other_reasons_are_no_padding():
    strict = CAUSAL & ~torch.eye(5).bool()  # the last key is seen by nobody, and no row sees itself
    found = text_bounds_of(
        [(torch.arange(5), strict[None, None])], batch=1, queries=5, end=torch.tensor(5)
    )
    assert not found.padding.any()
    none = text_bounds_of([], batch=2, queries=0, end=torch.tensor(5))
    assert none.padding.shape == (2, 0)


def test_end_is_what_the_last_query_reaches():
    room = torch.zeros(2, 1, 2, 9).bool()
    assert end_of(room, 2).item() == 9  # nobody sees anything: nothing is known
    room[0, 0, 0, :3] = room[0, 0, 1, :4] = True
    assert end_of(room, 2).item() == 4
    assert end_of(visible_of(RIGHT, causal=False)[1:], 5).item() == 5  # padding, and no room


def test_masks_and_tensors_say_the_same():
    mask = Mask.causal() & Mask.lengths(LENGTHS)
    sizes = {"batch": 2, "heads": 3, "queries": 5, "keys": 5, "device": torch.device("cpu")}
    (rows, seen), want = next(seen_by(mask, **sizes)), visible_of(RIGHT, causal=True)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(seen.expand(2, 1, 5, 5), want)
    lowest = torch.finfo(torch.float32).min
    added = torch.zeros(1, 1, 1, 5).masked_fill(RIGHT[1], lowest)
    assert torch.equal(seen_in([], [added], 5)[0, 0, 0], ~RIGHT[1])
    both = seen_in([CAUSAL[None, None]], [added], 5)
    assert torch.equal(both[0, 0], CAUSAL & ~RIGHT[1])
    assert seen_in([], [], 5) is None


# ---- through the kinds of attention --------------------------------------------------------------


def ours(x, padding, causal):
    lengths = Mask.dense(~padding[:, None, None]) if padding is LEFT else Mask.lengths(LENGTHS)
    module = Attention(width=12, heads=3)
    return module, lambda: module(x, mask=lengths & Mask.causal() if causal else lengths)


def torchs(x, padding, causal):
    module = nn.MultiheadAttention(12, 3, batch_first=True).train()
    mask = {"attn_mask": ~CAUSAL} if causal else {}
    return module, lambda: module(x, x, x, key_padding_mask=padding, **mask)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padding", [RIGHT, LEFT], ids=["right", "left"])
@pytest.mark.parametrize("kind", [ours, torchs])
@pytest.mark.parametrize("rows", [None, [4, 1]], ids=["all rows", "some"])
def test_padded_rows_do_not_count(kind, padding, causal, rows):
    torch.manual_seed(0)
    module, run = kind(torch.randn(2, 5, 12), padding, causal)
    with probe(module, rows=rows) as p:
        run()
    found = p.statistics(sinks=1)[""]
    kept = ~padding if rows is None else ~padding[:, rows]
    assert found.rows.tolist() == [kept.sum()] * 3
    assert found.empty_rows.tolist() == [kept.numel() - kept.sum()] * 3
    assert found.ordered_rows.tolist() == [kept.sum()] * 3
    maps = p.maps("").double()
    first = torch.tensor([0, 3 if padding is LEFT else 0])
    sink = torch.stack([maps[i, ..., first[i]] for i in range(2)], 1)  # heads, batch, rows
    torch.testing.assert_close(found.sink_mass, sink[:, kept].mean(1), atol=1e-6, rtol=0)
    place = torch.arange(5) if rows is None else torch.tensor(rows)
    steps = (place[:, None] - torch.arange(5)).abs()
    away = (maps * steps).sum(-1).transpose(0, 1)
    torch.testing.assert_close(found.distance, away[:, kept].mean(1), atol=1e-5, rtol=0)


def test_rows_that_look_at_something_else_are_never_padding():
    x, y = torch.randn(2, 2, 5, 12)
    module = Attention(width=12, heads=3)
    with probe(module) as p:
        module(x, y, mask=Mask.lengths(LENGTHS))
    assert p.statistics()[""].rows.tolist() == [10] * 3
    torchs = nn.MultiheadAttention(12, 3, batch_first=True)
    with probe(torchs) as p:
        torchs(x, y, y, key_padding_mask=RIGHT)
    assert p.statistics()[""].rows.tolist() == [10] * 3


def test_a_cache_of_our_own_has_no_room():
    module, x = Attention(width=12, heads=3), torch.randn(1, 6, 12)
    with probe(module) as p, torch.no_grad():
        module(x, mask=Mask.causal())
        cache = KeyValueCache()
        module(x[:, :4], mask=Mask.causal(), cache=cache)
        module(x[:, 4:], mask=Mask.causal(), cache=cache)
    whole, first, rest = (p.statistics(call=i)[""] for i in range(3))
    mean = (4 * first.distance + 2 * rest.distance) / 6
    torch.testing.assert_close(mean, whole.distance, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mask", [False, True])
def test_keys_that_torch_adds_move_nobody(mask):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(12, 3, batch_first=True, add_zero_attn=True, add_bias_kv=True)
    x = torch.randn(2, 5, 12)
    with probe(module) as p:
        module(x, x, x, attn_mask=~CAUSAL if mask else None)
    steps = (torch.arange(5)[:, None] - torch.arange(7)).abs()
    want = (p.maps("").double() * steps).sum(-1).mean((0, 2))
    torch.testing.assert_close(p.statistics()[""].distance, want, atol=1e-5, rtol=0)
