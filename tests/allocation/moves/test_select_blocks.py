"""Blocks are chosen in each call, and where nothing is chosen nothing changes."""

import re

import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads, SelectBlocks, Window
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache
from heedful.testing.tolerance import assert_close

MASKS = [None, Mask.causal(), Mask.lengths(torch.tensor([6, 20]))]
SMALL = SelectBlocks(share=0.3, block=2, least=3)


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("mask", MASKS, ids=repr)
def test_is_attention_with_the_blocks_that_it_chose(make_site, draw, move_site, mask):
    model, x = make_site(), 3 * draw(2, 20)
    new = move_site(model, SMALL)
    query, key, _ = model.site._project(x, None, None)
    chosen = new.site.mechanism.blocks(query, key, mask=mask)
    assert chosen.float().mean() < 0.6
    listed = Mask.blocks(chosen, block=2)
    same(new(x, mask=mask), model(x, mask=listed if mask is None else listed & mask))
    assert (new(x, mask=mask) - model(x, mask=mask)).abs().max() > 1e-3


@pytest.mark.parametrize("mask", MASKS, ids=repr)
def test_all_of_the_attention_is_plain_attention(make_site, draw, move_site, mask):
    model, x = make_site(), 3 * draw(2, 20)
    new = move_site(model, SelectBlocks(share=1.0, block=2, least=1))
    assert torch.equal(new(x, mask=mask), model(x, mask=mask))


def test_few_blocks_are_plain_attention(make_site, draw, move_site):
    model, x = make_site(), 3 * draw(2, 20)
    new = move_site(model, SelectBlocks(share=0.3, block=2, least=11))
    assert torch.equal(new(x), model(x))


def test_another_text(make_site, draw, observe, move_site):
    model, x, y = make_site(), 3 * draw(2, 20), 3 * draw(2, 9, seed=4)
    new = move_site(model, SMALL, moments=observe(model, (x, y))["site"])
    assert (new(x, y) - model(x, y)).abs().max() > 1e-3


def test_no_later_key_is_read_and_steps_read_all(make_site, draw, move_site):
    model, x = make_site(), 3 * draw(2, 20)
    new = move_site(model, SMALL)
    assert not new.site.weights(x, mask=Mask.causal()).triu(1).any()
    later = x.clone()
    later[:, 10:] = 1e3  # from a block of queries and keys on
    whole = new(x, mask=Mask.causal())
    assert torch.equal(new(later, mask=Mask.causal())[:, :10], whole[:, :10])
    cache = KeyValueCache()
    with torch.no_grad():
        steps = [new(part, mask=Mask.causal(), cache=cache) for part in x.split(1, 1)]
        same(torch.cat(steps, 1), model(x, mask=Mask.causal()))


def test_survives_a_plan(make_site, draw, move_site, rebuild):
    model, x = make_site(), 3 * draw(2, 20)
    moves = (KeepHeads(heads=(0, 1)), SMALL)
    new = move_site(model, *moves)
    again = rebuild(new, model, *moves)
    assert torch.equal(again(x), new(x))
    (site,), _ = find_sites(new)
    settings = {"share": 0.3, "block": 2, "least": 3}
    assert site.read(new).mixing == Mixing(name="selected_blocks", settings=settings)


def test_says_why_it_cannot(make_site, move_site):
    model = make_site()
    message = "a site must mix by scaled dot products to mix by selected_blocks, got window"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, Window(window=2), SMALL)
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(model, DropSite(), SMALL)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"share": 0.0}, "share must be above 0 and at most 1, got 0.0"),
        ({"share": 1.5}, "share must be above 0 and at most 1, got 1.5"),
        ({"share": 0.5, "block": 0}, "block must be at least 1, got 0"),
        ({"share": 0.5, "least": -1}, "least must be at least 1, got -1"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SelectBlocks(**settings)
