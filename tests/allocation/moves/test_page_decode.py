"""Steps read pages that loops would choose, and nothing else changes."""

import re

import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads, PageDecode, QueryKeyRank, Window
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache, RelativePositions, RotaryPositions
from heedful.testing.tolerance import assert_close

SMALL = PageDecode(pages=3, page=2)
LENGTHS = Mask.lengths(torch.tensor([9, 20]))


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


def steps(model, x, *, begin=1):
    """The outputs of a text that is written key by key after a beginning."""
    cache = KeyValueCache()
    with torch.no_grad():
        parts = x.split([begin, *[1] * (x.shape[1] - begin)], 1)
        return torch.cat([model(part, mask=Mask.causal(), cache=cache) for part in parts], 1)


def chosen(site, x, cache):
    """The pages of two keys: both ends, and of the others the one with the highest bound."""
    query, key, _ = site._project(x, None, cache)
    groups = query.shape[1] // key.shape[1]
    pages = key.repeat_interleave(groups, 1).split(2, 2)
    bounds = [(query * page).amax(2).sum(-1) for page in pages]  # a row of products for each key
    best = torch.stack(bounds[1:-1], -1).argmax(-1) + 1
    grid = torch.zeros(*best.shape, 1, len(pages), dtype=torch.bool)
    grid[..., 0], grid[..., -1] = True, True
    return grid.scatter_(-1, best[..., None, None], True)


@pytest.mark.parametrize("positions", [None, RotaryPositions(4)], ids=["none", "rotary"])
def test_a_step_reads_the_pages_with_the_highest_bounds(make_site, draw, move_site, positions):
    model, x = make_site(positions=positions), 3 * draw(2, 19)
    new = move_site(model, SMALL)
    caches = KeyValueCache(), KeyValueCache(), KeyValueCache()
    with torch.no_grad():
        for cache in caches:
            model(x[:, :18], mask=Mask.causal(), cache=cache)
        grid = chosen(model.site, x[:, 18:], caches[0])
        want = model(x[:, 18:], mask=Mask.blocks(grid, block=2), cache=caches[1])
        same(new(x[:, 18:], mask=Mask.causal(), cache=caches[2]), want)


@pytest.mark.parametrize("mask", [None, Mask.causal(), LENGTHS, Mask.causal() & LENGTHS], ids=repr)
def test_one_pass_is_plain_attention(make_site, draw, move_site, mask):
    model, x = make_site(), 3 * draw(2, 20)
    assert torch.equal(move_site(model, SMALL)(x, mask=mask), model(x, mask=mask))


@pytest.mark.parametrize("begin", [1, 8])
def test_enough_pages_are_plain_attention(make_site, draw, move_site, begin):
    model, x = make_site(), 3 * draw(2, 20)
    want = steps(model, x, begin=begin)
    assert torch.equal(steps(move_site(model, PageDecode(pages=10, page=2)), x, begin=begin), want)
    few = steps(move_site(model, SMALL), x, begin=begin)
    assert torch.equal(few[:, :6], want[:, :6])
    assert (few - want).abs().max() > 1e-3


def test_another_text(make_site, draw, observe, move_site):
    model, x, y = make_site(), 3 * draw(2, 5), 3 * draw(2, 20, seed=4)
    new = move_site(model, SMALL, moments=observe(model, (x, y))["site"])
    assert torch.equal(new(x, y), model(x, y))
    cache = KeyValueCache()
    with torch.no_grad():
        shown = [new.site.weights(part, y, cache=cache) for part in x.split(1, 1)]
        written = [new(part, y, cache=cache) for part in x.split(1, 1)]
    assert all((weights > 0).sum(-1).max() == 6 for weights in shown)
    assert (torch.cat(written, 1) - model(x, y)).abs().max() > 1e-3


def test_survives_a_plan(make_site, draw, move_site, rebuild):
    model, x = make_site(), 3 * draw(2, 20)
    moves = (KeepHeads(heads=(0, 1)), PageDecode(pages=4, page=2, sinks=0, recent=2))
    new = move_site(model, *moves)
    again = rebuild(new, model, *moves)
    assert torch.equal(steps(again, x), steps(new, x))
    (site,), _ = find_sites(new)
    settings = {"pages": 4, "page": 2, "sinks": 0, "recent": 2}
    assert site.read(new).mixing == Mixing(name="paged_decoding", settings=settings)
    assert str(site.read(new).geometry) == "2 on 1 x 4, paged_decoding"
    assert site.read(move_site(new, SMALL)).mixing.settings == SMALL.settings()


def test_says_why_it_cannot(make_site, move_site):
    model = make_site()
    message = "a site must mix by scaled dot products to mix by paged_decoding, got window"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, Window(window=2), SMALL)
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(model, DropSite(), SMALL)
    with pytest.raises(UnsupportedError, match="its positions add to the scores"):
        move_site(make_site(positions=RelativePositions(4)), SMALL)


def test_another_basis_comes_before(make_site, draw, move_site):
    model, rank = make_site(), QueryKeyRank(rank=2)
    new = move_site(model, rank, SMALL)
    assert torch.equal(new(draw(2, 20)), move_site(model, rank)(draw(2, 20)))
    with pytest.raises(UnsupportedError, match=r"heads must mix by one of .*, got paged_decoding"):
        move_site(model, SMALL, rank)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"pages": 1}, "pages must be at least 1 and sinks + recent, got pages=1, sinks=1, rec"),
        ({"page": 0}, "page must be at least 1, got 0"),
        ({"sinks": -3}, "sinks and recent must not be negative, got sinks=-3, recent=1"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        PageDecode(**settings)
