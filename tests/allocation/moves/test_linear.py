"""A site that weighs by learned features: what it honours, and that its maps are kept."""

import re

import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads, LinearAttention, Window
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import KeyValueCache
from heedful.nn.fusion import ConvolutionValues
from heedful.nn.mechanisms import Hedgehog
from heedful.testing.tolerance import assert_close

LENGTHS = Mask.lengths(torch.tensor([6, 9]))


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=max(1.0, want.abs().max().item()))


def heads_of(linear, x, heads):
    return linear(x).unflatten(-1, (heads, -1)).transpose(1, 2)


@pytest.mark.parametrize("mask", [None, Mask.causal(), LENGTHS], ids=repr)
@pytest.mark.parametrize("features", [2, 4, 7])
def test_weighs_by_features_of_what_the_site_projects(make_site, draw, move_site, features, mask):
    model, x = make_site(), draw(2, 9)
    new = move_site(model, LinearAttention(features=features))
    assert new.site.mechanism.query_map.shape == (4, 4, features)
    site = model.site
    query = heads_of(site.query, x, 4)
    key, value = (heads_of(part, x, 2).repeat_interleave(2, 1) for part in (site.key, site.value))

    def phi(rows):
        mapped = rows @ torch.eye(4, features, dtype=rows.dtype)
        return torch.cat([mapped, -mapped], -1).softmax(-1)

    weights = phi(query) @ phi(key).mT
    if mask is not None:
        weights = weights * mask.to_bool(9, 9, batch=2, heads=1)
    mixed = weights / weights.sum(-1, keepdim=True) @ value
    same(new(x, mask=mask), site.out(mixed.transpose(1, 2).flatten(2)))


def test_the_future_cannot_matter_and_steps_are_one_pass(make_site, draw, move_site):
    new, x = move_site(make_site(), LinearAttention(features=3)), draw(2, 9)
    whole, later = new(x, mask=Mask.causal()), x.clone()
    later[:, 5:] = 1e3
    same(new(later, mask=Mask.causal())[:, :5], whole[:, :5])
    cache = KeyValueCache()
    with torch.no_grad():
        steps = [new(part, mask=Mask.causal(), cache=cache) for part in x.split([3, 1, 1, 4], 1)]
    same(torch.cat(steps, 1), whole)


def test_hidden_keys_cannot_matter(make_site, draw, move_site):
    new, x, y = move_site(make_site(), LinearAttention(features=3)), draw(2, 5), draw(2, 9)
    changed = y.clone()
    changed[0, 6:] = 1e3
    assert torch.equal(new(x, changed, mask=LENGTHS), new(x, y, mask=LENGTHS))


def test_survives_a_plan_with_its_maps_and_then_stays(make_site, draw, move_site, rebuild):
    model, x = make_site(), draw(2, 9)
    moves = (LinearAttention(features=3), KeepHeads(heads=(0, 2)))
    new = move_site(model, *moves)
    again = rebuild(new, model, *moves)  # with maps that are no identity
    assert torch.equal(again(x), new(x))
    assert again.site.mechanism.query_map.std() > 0.1
    assert isinstance(again.site.mechanism, Hedgehog)
    assert (again.site.heads, again.site.mechanism.query_map.requires_grad) == (2, True)
    sites, unknown = find_sites(again)
    assert not sites
    assert unknown == {"site": "Hedgehog has parameters that belong to its heads"}


def test_maps_are_trained(make_site, draw, move_site):
    new = move_site(make_site(), LinearAttention(features=3))
    new(draw(2, 9)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in new.site.mechanism.parameters())


def test_says_why_it_cannot(make_site, move_site):
    model = make_site()
    message = "a site must mix by scaled dot products to mix by hedgehog, got window"
    with pytest.raises(UnsupportedError, match=message):
        move_site(model, Window(window=2), LinearAttention(features=3))
    with pytest.raises(UnsupportedError, match="must have heads left, got a dropped one"):
        move_site(model, DropSite(), LinearAttention(features=3))


def test_rejects_settings():
    with pytest.raises(ConfigError, match=re.escape("features must be at least 1, got 0")):
        LinearAttention(features=0)


def test_a_mechanism_of_no_table_stays_as_it_is(make_site):
    model = make_site(mechanism=ConvolutionValues(heads=4, dim=4))
    sites, unknown = find_sites(model)
    assert not sites
    assert unknown == {"site": "ConvolutionValues has parameters that belong to its heads"}
