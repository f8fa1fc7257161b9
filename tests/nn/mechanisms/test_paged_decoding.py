"""One query reads the pages that loops choose; whatever is not a step over many pages is plain."""

import copy
import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention, KeyValueCache, RotaryPositions
from heedful.nn.mechanisms.paged_decoding import PagedDecoding
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.probing.probe import probe
from heedful.testing import oracle
from heedful.testing.tolerance import assert_close, roundings

BATCH, HEADS, KV_HEADS, DIM, VALUE_DIM, PAGE = 2, 6, 3, 5, 4, 3
LENGTH = 38  # twelve pages and two keys
SCATTERED = torch.rand(BATCH, 1, 1, LENGTH, generator=torch.Generator().manual_seed(7)) < 0.7
BY_HEAD = torch.ones(1, HEADS, 1, LENGTH, dtype=torch.bool)
BY_HEAD[:, 1, :, :10], BY_HEAD[:, 4] = False, False
MASKS = {
    "none": None,
    "causal": Mask.causal(),
    "lengths": Mask.lengths(torch.tensor([25, LENGTH])),
    "whole pages": Mask.lengths(torch.tensor([24, 36])),
    "few pages": Mask.lengths(torch.tensor([7, 0])),
    "window": Mask.window(20, sinks=4),
    "scattered": Mask.dense(SCATTERED),
    "by head": Mask.dense(BY_HEAD),
    "by row": Mask.dense(torch.tensor([True, False])[:, None, None, None]),
    "both": Mask.causal() & Mask.lengths(torch.tensor([31, 12])),
}
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def draw(*shape, seed=1, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def make(**settings):
    return PagedDecoding(heads=HEADS, dim=DIM, **{"pages": 4, "page": PAGE} | settings)


def tensors(length=LENGTH, dtype=torch.float64):
    key, value = draw(BATCH, KV_HEADS, length, DIM), draw(BATCH, KV_HEADS, length, VALUE_DIM)
    return draw(BATCH, HEADS, 1, DIM, seed=2, dtype=dtype), key.to(dtype), value.to(dtype)


def filled(key, value, parts=(LENGTH,)):
    cache = KeyValueCache()
    for keys, values in zip(key.split(parts, 2), value.split(parts, 2), strict=True):
        cache.append(keys, values)
    return cache


def seen(mask, keys):
    """What a mask shows to one query, written out."""
    visible = None if mask is None else mask.to_bool(1, keys, batch=BATCH, heads=HEADS)
    whole = torch.ones(BATCH, HEADS, 1, keys, dtype=torch.bool)
    return (whole if visible is None else whole & visible).numpy()


def asked(sees):
    """As the oracles ask: for one pair."""
    return lambda b, h, i, j: bool(sees[b, h, i, j])


def read(query, key, sees, *, pages, page=PAGE, sinks=1, recent=1):
    """The definition, by loops: which keys are read."""
    query, key = query.double().numpy(), key.double().numpy()
    result = np.zeros_like(sees)
    keys, group = key.shape[2], query.shape[1] // key.shape[1]
    starts = list(range(0, keys, page))
    for b, h in np.ndindex(*query.shape[:2]):
        shown = {}
        for place, start in enumerate(starts):
            part = sees[b, h, 0, start : start + page]
            if part.any():
                shown[place] = part.all()
        there = list(shown)
        first = {*there[:sinks], *there[max(0, len(there) - recent) :]}
        first |= {place for place in there if not shown[place]}
        bounds = {}
        for place in set(there) - first:
            rows = key[b, h // group, starts[place] : starts[place] + page]
            bounds[place] = sum(
                max(q * x for x in rows[:, d]) for d, q in enumerate(query[b, h, 0])
            )
        others = sorted(bounds, key=lambda place: -bounds[place])[: max(0, pages - len(first))]
        for place in (*first, *others):
            result[b, h, 0, starts[place] : starts[place] + page] = True
    return result & sees


# ---- the rule ------------------------------------------------------------------------------------


@every_mask
@pytest.mark.parametrize(
    "settings",
    [{"pages": 4}, {"pages": 1, "sinks": 0, "recent": 0}, {"pages": 6, "sinks": 2, "recent": 3}],
    ids=str,
)
@pytest.mark.parametrize("parts", [(38,), (5, 1, 1, 31)], ids=str)
def test_reads_what_loops_choose(mask, settings, parts):
    query, key, value = tensors()
    module, cache = make(**settings), filled(key, value, parts)
    narrow = module.narrow(query, mask, cache)
    want = read(query, key, seen(mask, LENGTH), **settings)
    assert np.array_equal(seen(narrow, LENGTH), want)
    weights, mixed = oracle.scaled_dot(query.numpy(), key.numpy(), value.numpy(), asked(want))
    limit = roundings(query.dtype, DIM, LENGTH)
    largest = max(1.0, value.abs().max().item())
    actual = module(query, key, value, mask=narrow)
    assert_close(actual, torch.from_numpy(mixed), roundings=limit, largest=largest)
    actual = module.weights(query, key, mask=narrow)
    assert_close(actual, torch.from_numpy(weights), roundings=limit, largest=1.0)


def test_something_is_left_out_and_heads_choose_for_themselves():
    query, key, value = tensors()
    chosen = seen(make().narrow(query, None, filled(key, value)), LENGTH)
    assert chosen.sum(-1).max() <= 4 * PAGE
    assert not (chosen[:, 0] == chosen[:, 1]).all()


@every_mask
def test_enough_pages_are_plain_attention(mask):
    query, key, value = tensors()
    cache = filled(key, value)
    assert make(pages=13).narrow(query, mask, cache) is mask
    assert make(pages=12).narrow(query, mask, cache) is not mask
    query, key, value = tensors(36)  # no page is cut short
    assert make(pages=12).narrow(query, mask, filled(key, value, 36)) is mask


@every_mask
def test_several_queries_are_plain_attention(mask):
    query, key, value = tensors()
    both = query.expand(-1, -1, 2, -1)
    assert make().narrow(both, mask, filled(key, value)) is mask


@every_mask
def test_without_a_cache_it_is_plain_attention(mask):
    query, key, value = tensors()
    want = scaled_dot_attention(query, key, value, mask=mask)
    assert torch.equal(make()(query, key, value, mask=mask), want)
    want = scaled_dot_weights(query, key, mask=mask)
    assert torch.equal(make().weights(query, key, mask=mask), want)


@pytest.mark.parametrize("name", ["lengths", "few pages", "scattered", "by head", "both"])
@pytest.mark.parametrize("worth", [50.0, -50.0, float("inf"), float("nan")])
def test_hidden_keys_decide_nothing(name, worth):
    query, key, value = tensors()
    hidden = ~torch.from_numpy(seen(MASKS[name], LENGTH)).any(1).transpose(1, 2)[:, None]
    want = make().narrow(query, MASKS[name], filled(key, value))
    changed = make().narrow(query, MASKS[name], filled(key.masked_fill(hidden, worth), value))
    assert np.array_equal(seen(changed, LENGTH), seen(want, LENGTH))


@pytest.mark.parametrize("length", range(13, LENGTH))
@pytest.mark.parametrize("recent", [1, 2])
def test_padding_changes_nothing(length, recent):
    query, key, value = tensors()
    mask = Mask.lengths(torch.tensor([length, LENGTH]))
    padded = make(recent=recent).narrow(query, mask, filled(key, value))
    short = filled(key[:, :, :length], value[:, :, :length], length)
    alone = make(recent=recent).narrow(query, None, short)
    assert np.array_equal(seen(padded, LENGTH)[0, ..., :length], seen(alone, length)[0])


def test_scattered_masks_are_read_in_full():
    query, key, value = tensors()
    mask = Mask.dense(torch.arange(LENGTH)[None, None, None] % PAGE > 0)
    narrow = make().narrow(query, mask, filled(key, value))
    assert np.array_equal(seen(narrow, LENGTH), seen(mask, LENGTH))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_types(dtype):
    query, key, value = tensors(dtype=dtype)
    narrow = make().narrow(query, None, filled(key, value))
    mixed = make()(query, key, value, mask=narrow)
    assert mixed.dtype == dtype
    exact = (x.double().numpy() for x in (query, key, value))
    want = torch.from_numpy(oracle.scaled_dot(*exact, asked(seen(narrow, LENGTH)))[1])
    limit = roundings(dtype, DIM, LENGTH)
    assert_close(mixed, want, roundings=limit, largest=max(1.0, value.abs().max().item()))


# ---- in an attention module ----------------------------------------------------------------------


def pair(**settings):
    """The same attention with pages, and without."""
    torch.manual_seed(3)
    paged = Attention(
        width=12, heads=HEADS, kv_heads=KV_HEADS, dim=4, mechanism=small(), **settings
    ).double()
    with torch.no_grad():
        paged.query.weight.mul_(4)  # as sharp as what a model has learned
    plain = copy.deepcopy(paged)
    plain.mechanism = None
    return paged.eval(), plain.eval()


def small():
    return PagedDecoding(heads=HEADS, dim=4, pages=3, page=2)


def same(actual, want):
    assert_close(actual, want, roundings=500, largest=max(1.0, want.abs().max().item()))


def oracle_step(plain, x, cache, mask, context=None):
    """What the plain module gives when it sees only the pages that loops choose."""
    with torch.no_grad():
        query, key, _ = plain._project(x, context, copy.copy(cache))
        sees = seen(mask, key.shape[2])
        if key.shape[2] > 6:
            sees = read(query, key, sees, pages=3, page=2)
        return plain(x, context, mask=Mask.dense(torch.from_numpy(sees)), cache=cache)


@pytest.mark.parametrize("positions", [None, RotaryPositions(4)], ids=["none", "rotary"])
@pytest.mark.parametrize("begin", [1, 9])
def test_steps_agree_with_the_oracle(positions, begin):
    paged, plain = pair(positions=positions)
    x, caches = draw(BATCH, 23, 12), (KeyValueCache(), KeyValueCache())
    other = KeyValueCache()
    away = 0.0
    with torch.no_grad():
        for part in x.split([begin] + [1] * (23 - begin), 1):
            if part.shape[1] > 1:
                want = plain(part, mask=Mask.causal(), cache=caches[1])
            else:
                want = oracle_step(plain, part, caches[1], Mask.causal())
            weights = paged.weights(part, mask=Mask.causal(), cache=caches[0])
            actual = paged(part, mask=Mask.causal(), cache=caches[0])
            same(actual, want)
            value = caches[0].stored()[1].repeat_interleave(2, 1)
            same(actual, paged.out((weights @ value).transpose(1, 2).flatten(2)))
            exact = plain(part, mask=Mask.causal(), cache=other)
            away = max(away, (actual - exact).abs().max().item())
    assert away > 1e-3
    assert caches[0]._pages.length == caches[0].length


@every_mask
def test_one_pass_is_plain_attention(mask):
    paged, plain = pair()
    if mask is not None and mask != Mask.causal():
        mask = Mask.causal() & Mask.lengths(torch.tensor([20, 23]))
    x = draw(BATCH, 23, 12)
    assert torch.equal(paged(x, mask=mask), plain(x, mask=mask))
    caches = KeyValueCache(), KeyValueCache()
    with torch.no_grad():
        whole = paged(x, mask=mask, cache=caches[0])
        assert torch.equal(whole, plain(x, mask=mask, cache=caches[1]))


def test_rows_may_be_chosen_between_steps():
    paged, plain = pair()
    x, caches = draw(3, 17, 12), (KeyValueCache(), KeyValueCache())
    with torch.no_grad():
        for cache in caches:
            plain(x[:BATCH, :11], mask=Mask.causal(), cache=cache)
        for step, rows in ((11, [1, 0]), (13, [1, 1]), (15, [0, 1])):
            for i in (step, step + 1):
                part = x[1:, i : i + 1]
                same(paged(part, cache=caches[0]), oracle_step(plain, part, caches[1], None))
            for cache in caches:
                cache.select(torch.tensor(rows))


def test_cross_attention_reads_pages_of_a_text_that_is_filled_once():
    paged, plain = pair()
    x, context = draw(BATCH, 4, 12), draw(BATCH, 19, 12, seed=4)
    mask = Mask.lengths(torch.tensor([12, 19]))
    caches = KeyValueCache(), KeyValueCache()
    with torch.no_grad():
        oracle_step(plain, x[:, :1], caches[1], mask, context)
        for part in x.split(1, 1):
            shown = paged.weights(part, context, mask=mask, cache=caches[0])
            assert (shown[1] > 0).sum(-1).max() <= 6
            same(
                paged(part, context, mask=mask, cache=caches[0]),
                oracle_step(plain, part, caches[1], mask, context),
            )


def test_probing_hears_the_pages_that_were_read():
    paged, _ = pair()
    x, cache = draw(BATCH, 20, 12), KeyValueCache()
    with torch.no_grad():
        paged(x[:, :19], mask=Mask.causal(), cache=cache)
        want = paged.weights(x[:, 19:], mask=Mask.causal(), cache=cache)
        with probe(paged) as heard:
            paged(x[:, 19:], mask=Mask.causal(), cache=cache)
    assert ((want > 0).sum(-1) <= 6).all()
    assert_close(heard.maps(""), want, roundings=roundings(x.dtype, 4, 20), largest=1.0)
    assert heard.fidelity()[""].error < 1e-12


def test_asking_for_weights_leaves_the_pages_as_they_are():
    paged, _ = pair()
    x, caches = draw(BATCH, 20, 12), (KeyValueCache(), KeyValueCache())
    with torch.no_grad():
        for cache in caches:
            paged(x[:, :18], mask=Mask.causal(), cache=cache)
            paged(x[:, 18:19], mask=Mask.causal(), cache=cache)
        paged.weights(1e3 * x[:, 19:], mask=Mask.causal(), cache=caches[0])
        steps = [paged(x[:, 19:], mask=Mask.causal(), cache=cache) for cache in caches]
    assert torch.equal(*steps)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"page": 0}, "page must be at least 1, got 0"),
        ({"sinks": -1}, "sinks and recent must not be negative, got sinks=-1, recent=1"),
        ({"recent": -2}, "sinks and recent must not be negative, got sinks=1, recent=-2"),
        (
            {"pages": 4, "sinks": 2, "recent": 3},
            "pages must be at least 1 and sinks + recent, got pages=4, sinks=2, recent=3",
        ),
        (
            {"pages": 0, "sinks": 0, "recent": 0},
            "pages must be at least 1 and sinks + recent, got pages=0, sinks=0, recent=0",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make(**settings)
