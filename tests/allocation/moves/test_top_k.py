"""Of the keys of each query only the best are left."""

import re

import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads, TopKKeys, Window
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache
from heedful.testing.tolerance import assert_close

MASKS = [None, Mask.causal(), Mask.lengths(torch.tensor([6, 9]))]


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


def by_hand(attention, x, keys, mask):
    """Sort the weights of each query, throw away all but the first, and share out anew."""
    weights = attention.weights(x, mask=mask)
    least = weights.sort(-1, descending=True)[0][..., min(keys, x.shape[1]) - 1, None]
    weights = weights * (weights >= least)
    value = attention.value(x).unflatten(-1, (attention.kv_heads, -1)).transpose(1, 2)
    value = value.repeat_interleave(attention.heads // attention.kv_heads, 1)
    mixed = weights / weights.sum(-1, keepdim=True) @ value
    return attention.out(mixed.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("keys", [1, 3])
def test_keeps_the_best(make_site, draw, move_site, keys, mask):
    model, x = make_site(), draw(2, 9)
    same(move_site(model, TopKKeys(keys=keys))(x, mask=mask), by_hand(model.site, x, keys, mask))


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("keys", [9, 100])
def test_all_keys_are_plain_attention(make_site, draw, move_site, keys, mask):
    model, x = make_site(), draw(2, 9)
    same(move_site(model, TopKKeys(keys=keys))(x, mask=mask), model(x, mask=mask))


def test_another_text(make_site, draw, observe, move_site):
    model, x, y = make_site(), draw(2, 9), draw(2, 5, seed=4)
    new = move_site(model, TopKKeys(keys=5), moments=observe(model, (x, y))["site"])
    same(new(x, y), model(x, y))


def test_the_future_cannot_matter_and_steps_are_one_pass(make_site, draw, move_site):
    new, x = move_site(make_site(), TopKKeys(keys=2)), draw(2, 9)
    whole, later = new(x, mask=Mask.causal()), x.clone()
    later[:, 5:] = 1e3
    assert torch.equal(new(later, mask=Mask.causal())[:, :5], whole[:, :5])
    cache = KeyValueCache()
    with torch.no_grad():
        steps = [new(part, mask=Mask.causal(), cache=cache) for part in x.split([3, 1, 1, 4], 1)]
    same(torch.cat(steps, 1), whole)


def test_survives_a_plan(make_site, draw, move_site, rebuild):
    model, x = make_site(), draw(2, 9)
    moves = (TopKKeys(keys=2), KeepHeads(heads=(0, 2)))
    new = move_site(model, *moves)
    again = rebuild(new, model, *moves)
    assert torch.equal(again(x), new(x))
    (site,), _ = find_sites(new)
    settings = {"kept": 2, "straight_through": False}
    assert site.read(new).mixing == Mixing(name="top_k", settings=settings)


def test_says_why_it_cannot(make_site, move_site):
    model = make_site()
    message = "a site must mix by scaled dot products to mix by top_k, got window"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, Window(window=2), TopKKeys(keys=2))
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(model, DropSite(), TopKKeys(keys=2))


def test_rejects_settings():
    with pytest.raises(ConfigError, match=re.escape("keys must be at least 1, got 0")):
        TopKKeys(keys=0)
