"""Some heads stay as they are; the output projection makes the most of them."""

import re

import numpy as np
import pytest
import torch

from heedful.allocation.moments import Moments
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.projections import Projections
from heedful.allocation.refit import RIDGE
from heedful.errors import ConfigError, UnsupportedError

HEADS, DIM, VALUE_DIM, OUT = 6, 3, 5, 9


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(kv_heads=HEADS, **changes):
    fields = {
        "query": draw(HEADS, DIM, 12),
        "key": draw(kv_heads, DIM, 10, seed=2),
        "value": draw(kv_heads, VALUE_DIM, 10, seed=3),
        "out": draw(HEADS, VALUE_DIM, OUT, seed=4),
        "query_bias": draw(HEADS, DIM, seed=5),
        "key_bias": draw(kv_heads, DIM, seed=6),
        "value_bias": draw(kv_heads, VALUE_DIM, seed=7),
        "out_bias": draw(OUT, seed=8),
        "scale": 0.5,
        "origin": (7, 6, 5, 4, 3, 2),
    }
    return Projections(**fields | changes)


def mixed_values(rows=200):
    """Values of heads that have something to do with one another."""
    return draw(rows, 20, seed=9) @ draw(20, HEADS * VALUE_DIM, seed=10) + 0.5


def moments(mixed):
    ones = torch.cat([mixed, mixed.new_ones(len(mixed), 1)], 1)
    none = torch.zeros(1, 1)
    return Moments(query=none, context=none, mixed=ones.T @ ones, rows=len(mixed))


def columns(heads):
    return [head * VALUE_DIM + i for head in heads for i in range(VALUE_DIM)]


@pytest.mark.parametrize("heads", [(0,), (1, 4), (0, 1, 2, 3, 4, 5)], ids=str)
def test_what_stays_is_what_there_was(heads):
    site, rows = build(), list(heads)
    after = KeepHeads(heads=heads).edit(site, None)
    for name in ("query", "key", "value", "out", "query_bias", "key_bias", "value_bias"):
        assert torch.equal(getattr(after, name), getattr(site, name)[rows]), name
    assert torch.equal(after.out_bias, site.out_bias)
    assert after.origin == tuple(7 - head for head in heads)
    assert after.scale == site.scale
    assert len(site.query) == HEADS


@pytest.mark.parametrize(
    "heads, shared", [((0, 1), [0]), ((0, 4), [0, 2]), ((2, 3, 4, 5), [1, 2])], ids=str
)
def test_key_heads_stay_with_their_query_heads(heads, shared):
    site = build(kv_heads=3)
    after = KeepHeads(heads=heads).edit(site, None)
    assert torch.equal(after.query, site.query[list(heads)])
    for name in ("key", "value", "key_bias", "value_bias"):
        assert torch.equal(getattr(after, name), getattr(site, name)[shared]), name
    assert after.groups == len(heads) // len(shared)


def test_a_site_without_biases_has_none_after():
    names = ("query_bias", "key_bias", "value_bias", "out_bias")
    after = KeepHeads(heads=(1, 3)).edit(build(**dict.fromkeys(names)), None)
    assert all(getattr(after, name) is None for name in names)


@pytest.mark.parametrize("biased", [False, True])
def test_the_rest_is_refitted_by_least_squares(biased):
    site, heads = build() if biased else build(out_bias=None), (1, 4, 5)
    mixed = mixed_values()
    target = mixed @ site.out.flatten(0, 1) + (site.out_bias if biased else 0)
    after = KeepHeads(heads=heads).edit(site, moments(mixed))

    # the ridge as rows of their own: |A w|^2 / rows + ridge |w|^2, the constant not held back
    kept = mixed[:, columns(heads)].numpy()
    ridge = RIDGE * (kept**2).mean(0).mean()
    rows = np.concatenate([kept, np.ones((len(kept), 1))], 1)
    held = np.eye(kept.shape[1], kept.shape[1] + 1) * (len(kept) * ridge) ** 0.5
    right = np.concatenate([target.numpy(), np.zeros((len(held), OUT))])
    want, *_ = np.linalg.lstsq(np.concatenate([rows, held]), right)
    want = torch.from_numpy(want)
    torch.testing.assert_close(after.out.flatten(0, 1), want[:-1], rtol=0, atol=1e-8)
    torch.testing.assert_close(after.out_bias, want[-1], rtol=0, atol=1e-8)

    def error(after):
        bias = 0 if after.out_bias is None else after.out_bias
        output = mixed[:, columns(heads)] @ after.out.flatten(0, 1) + bias
        return (output - target).square().sum()

    assert error(after) < 0.7 * error(KeepHeads(heads=heads).edit(site, None))


def test_all_heads_stay_what_they_are_though_they_are_refitted():
    site = build()
    mixed = draw(500, HEADS * VALUE_DIM, seed=9)
    after = KeepHeads(heads=tuple(range(HEADS))).edit(site, moments(mixed))
    torch.testing.assert_close(after.out, site.out, rtol=0, atol=1e-3)  # the ridge
    torch.testing.assert_close(after.out_bias, site.out_bias, rtol=0, atol=1e-3)


def test_shapes_do_not_depend_on_what_was_seen():
    site, move = build(), KeepHeads(heads=(1, 3))
    known, unknown = move.edit(site, moments(mixed_values())), move.edit(site, None)
    assert known.geometry == unknown.geometry
    assert known.out_bias.shape == unknown.out_bias.shape
    assert known.out.dtype == site.out.dtype


@pytest.mark.parametrize("heads", [(), (2, 1), (1, 1), (-1, 2)], ids=str)
def test_rejects_what_are_no_ascending_numbers(heads):
    message = f"heads must be ascending numbers of heads, got {list(heads)}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        KeepHeads(heads=heads)


def test_rejects_heads_that_are_not_there():
    with pytest.raises(UnsupportedError, match=re.escape("heads must be below 6 here, got [1, 6]")):
        KeepHeads(heads=(1, 6)).edit(build(), None)


def test_rejects_uneven_groups():
    message = (
        "as many heads must stay of each key/value head that stays, "
        "got [0, 1, 2] with 2 heads to each"
    )
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        KeepHeads(heads=(0, 1, 2)).edit(build(kv_heads=3), None)


def test_rejects_what_was_dropped():
    dropped = DropSite().edit(build(), None)
    with pytest.raises(UnsupportedError, match="a site must have heads left, got a dropped one"):
        KeepHeads(heads=(0,)).edit(dropped, None)
