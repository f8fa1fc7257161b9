"""A dropped site gives the mean of what it gave."""

import pytest
import torch

from heedful.allocation.moments import Moments
from heedful.allocation.moves import DropSite
from heedful.allocation.projections import Mixing, Projections, Rotary
from heedful.errors import UnsupportedError

HEADS, VALUE_DIM, OUT = 4, 5, 9


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(**changes):
    fields = {
        "query": draw(HEADS, 3, 12),
        "key": draw(2, 3, 10),
        "value": draw(2, VALUE_DIM, 10),
        "out": draw(HEADS, VALUE_DIM, OUT),
        "query_bias": draw(HEADS, 3),
        "key_bias": draw(2, 3),
        "value_bias": draw(2, VALUE_DIM),
        "out_bias": draw(OUT, seed=2),
        "scale": 0.5,
        "origin": (0, 1, 2, 3),
        "rotary": Rotary(pairs=(0,), whole=2),
        "mixing": Mixing(name="window"),
    }
    return Projections(**fields | changes)


def moments(mixed):
    ones = torch.cat([mixed, mixed.new_ones(len(mixed), 1)], 1)
    none = torch.zeros(1, 1)
    return Moments(query=none, context=none, mixed=ones.T @ ones, rows=len(mixed))


@pytest.mark.parametrize("biased", [False, True])
def test_gives_the_mean_of_what_it_gave(biased):
    site = build() if biased else build(out_bias=None)
    mixed = draw(30, HEADS * VALUE_DIM, seed=3) + 1
    output = mixed @ site.out.flatten(0, 1) + (site.out_bias if biased else 0)
    bias = DropSite().edit(site, moments(mixed)).out_bias
    torch.testing.assert_close(bias, output.mean(0), rtol=1e-12, atol=1e-12)


def test_gives_the_bias_where_nothing_is_known():
    site = build()
    mixed = draw(30, HEADS * VALUE_DIM)
    unknown = Moments(query=mixed, context=mixed, mixed=None, rows=30)
    for known in (None, unknown):
        assert torch.equal(DropSite().edit(site, known).out_bias, site.out_bias)
        bare = DropSite().edit(build(out_bias=None), known)
        assert torch.equal(bare.out_bias, torch.zeros(OUT, dtype=torch.float64))


@pytest.mark.parametrize("known", [False, True])
def test_nothing_else_is_left_and_the_shapes_do_not_depend_on_what_was_seen(known):
    site = build()
    after = DropSite().edit(site, moments(draw(30, HEADS * VALUE_DIM)) if known else None)
    assert str(after.geometry) == "dropped"
    assert [len(x) for x in (after.query, after.key, after.value, after.out)] == [0] * 4
    assert after.query_bias is after.key_bias is after.value_bias is None
    assert after.mixing is after.rotary is None
    assert after.origin == ()
    assert after.out_bias.shape == (OUT,)
    assert (after.geometry.width, after.geometry.context, after.geometry.out) == (12, 10, OUT)
    assert str(site.geometry) == "4 on 2 x 3/5, window"


def test_rejects_what_was_dropped():
    dropped = DropSite().edit(build(), None)
    message = "a site must have heads left, got a dropped one"
    with pytest.raises(UnsupportedError, match=message):
        DropSite().edit(dropped, None)
