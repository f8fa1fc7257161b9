"""A window on a site is the mask of that band, whatever else the site is and is called with."""

import re

import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads, TopKKeys, Window
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache, RotaryPositions
from heedful.testing.tolerance import assert_close

LENGTHS = Mask.lengths(torch.tensor([6, 11]))


def band(length, window, sinks):
    """Both sides, and the first ones for those behind."""
    place = range(length)
    rows = [[abs(i - j) < window or j < min(sinks, i) for j in place] for i in place]
    return Mask.dense(torch.tensor(rows))


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("mask", [None, Mask.causal(), LENGTHS, Mask.causal() & LENGTHS], ids=repr)
@pytest.mark.parametrize("window, sinks", [(1, 0), (3, 0), (3, 2), (20, 0)])
@pytest.mark.parametrize("positions", [None, RotaryPositions(4)], ids=["none", "rotary"])
def test_is_the_mask_of_the_band(make_site, draw, move_site, mask, window, sinks, positions):
    model, x = make_site(positions=positions), draw(2, 11)
    near = band(11, window, sinks)
    want = model(x, mask=near if mask is None else near & mask)
    actual = move_site(model, Window(window=window, sinks=sinks))(x, mask=mask)
    same(actual, want)
    if window == 20:
        same(actual, model(x, mask=mask))


def test_the_future_cannot_matter_and_the_far_past_neither(make_site, draw, move_site):
    new, x = move_site(make_site(), Window(window=3)), draw(2, 11)
    whole = new(x, mask=Mask.causal())
    later, earlier = x.clone(), x.clone()
    later[:, 6:] = 1e3
    earlier[:, :4] = 1e3
    assert torch.equal(new(later, mask=Mask.causal())[:, :6], whole[:, :6])
    same(new(earlier, mask=Mask.causal())[:, 6:], whole[:, 6:])


def test_step_by_step_is_one_pass(make_site, draw, move_site):
    new, x = move_site(make_site(), Window(window=3, sinks=1)), draw(2, 11)
    cache = KeyValueCache()
    with torch.no_grad():
        steps = [new(part, mask=Mask.causal(), cache=cache) for part in x.split([4, 1, 1, 5], 1)]
        same(torch.cat(steps, 1), new(x, mask=Mask.causal()))


def test_survives_a_plan(make_site, draw, move_site, rebuild):
    model, x = make_site(), draw(2, 11)
    moves = (KeepHeads(heads=(0, 1)), Window(window=2, sinks=3))
    new = move_site(model, *moves)
    again = rebuild(new, model, *moves)
    assert torch.equal(again(x), new(x))
    (site,), _ = find_sites(new)
    settings = {"window": 2, "ahead": 1, "sinks": 3}
    assert site.read(new).mixing == Mixing(name="window", settings=settings)
    assert str(site.read(new).geometry) == "2 on 1 x 4, window 2"
    narrower = move_site(new, Window(window=1))
    assert site.read(narrower).mixing.settings == {"window": 1, "ahead": 0, "sinks": 0}


def test_only_for_sites_that_look_at_their_own_text(make_site, draw, observe, move_site):
    model, x, y = make_site(), draw(2, 11), draw(2, 11, seed=4)
    own = observe(model, (x,), (y,))["site"]
    assert own.self_attention
    move_site(model, Window(window=3), moments=own)
    assert observe(model, (x, x))["site"].self_attention
    for calls in [((x, y),), ((x,), (x, y)), ((x, y), (x,)), ((x, x[:, :5]),)]:
        moments = observe(model, *calls)["site"]
        assert not moments.self_attention
        message = "site: a site must look at its own text for window, got another text"
        with pytest.raises(UnsupportedError, match=message):
            move_site(model, Window(window=3), moments=moments)


def test_says_why_it_cannot(make_site, move_site):
    model = make_site()
    message = "a site must mix by scaled dot products to mix by window, got top_k"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, TopKKeys(keys=2), Window(window=3))
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(model, DropSite(), Window(window=3))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"window": 2, "sinks": -1}, "sinks must not be negative, got -1"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Window(**settings)
