"""What a site gives with fewer dimensions of values is the closest that this rank allows."""

import re

import pytest
import torch
from torch import nn

from heedful.allocation.moments import Moments, collect_moments
from heedful.allocation.moves import DropSite, ValueRank
from heedful.allocation.plan import Plan, parse_plan
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.nn import Attention
from heedful.nn.positions import RotaryPositions

HEADS, KV_HEADS, DIM, VALUE_DIM = 4, 2, 2, 8


class Alone(nn.Module):
    def __init__(self, site):
        super().__init__()
        self.site = site

    def forward(self, x, context=None):
        return self.site(x, context)


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(width, seed=1, rows=70):
    """Inputs with a mean, and much more in some directions than in others."""
    return draw(1, rows, width, seed=seed) * torch.linspace(0.05, 2, width) + draw(width, seed=2)


def make(width, seed=3, positions=None, kv_heads=KV_HEADS):
    module = Attention(
        width=width,
        heads=HEADS,
        kv_heads=kv_heads,
        dim=DIM,
        value_dim=VALUE_DIM,
        positions=positions,
    )
    module.double()
    for i, parameter in enumerate(module.parameters()):
        parameter.data = draw(*parameter.shape, seed=seed + i) * 0.5
    return Alone(module)


def moment(x):
    rows = nn.functional.pad(x.flatten(0, -2), (0, 1), value=1.0)
    return rows.T @ rows


def seen_of(model, x, context=None, mixed=False):
    """In float64; `look` adds up in float32."""
    rows = []
    handle = model.site.out.register_forward_pre_hook(lambda _, args: rows.append(args[0]))
    model(x, context)
    handle.remove()
    return Moments(
        query=moment(x),
        context=moment(x if context is None else context),
        mixed=moment(rows[0]) if mixed else None,
        rows=x.shape[1],
    )


def read(model):
    [site], _ = find_sites(model)
    return site.read(model)


def apply(model, rank, moments=None):
    plan = Plan(moves={"site": (ValueRank(rank=rank),)})
    return plan.apply(model, None if moments is None else {"site": moments})


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("known", ["nothing", "context", "mixed"])
def test_nothing_is_lost_when_the_rank_was_not_used(known, turned):
    # no value varies in more than 5 directions, and its bias takes none of them
    model = make(5, positions=RotaryPositions(DIM) if turned else None)
    x, context = data(5, 4, rows=9), data(5, 5, rows=6)
    moments = None if known == "nothing" else seen_of(model, data(5), data(5, 6), known == "mixed")
    smaller = apply(model, 5, moments)
    assert smaller.site.value.weight.shape == (KV_HEADS * 5, 5)
    assert smaller.site.out.weight.shape == (5, HEADS * 5)
    assert (smaller.site.dim, smaller.site.value_dim) == (DIM, 5)
    for inputs in ((x,), (x, context)):
        torch.testing.assert_close(smaller(*inputs), model(*inputs), rtol=0, atol=1e-8)


def contributions(site, context, value_head):
    """What each head that shares a value head adds to the output, side by side, without means."""
    values = context[0] @ site.value[value_head].T
    shared = HEADS // len(site.value)
    each = torch.cat([values @ site.out[value_head * shared + i] for i in range(shared)], 1)
    return each - each.mean(0)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 7])
def test_what_heads_add_is_the_closest_that_this_rank_allows(rank, kv_heads):
    model, context = make(10, kv_heads=kv_heads), data(10, 7)
    site = read(model)
    ours = ValueRank(rank=rank).edit(site, seen_of(model, data(10), context))
    blind = ValueRank(rank=rank).edit(site, None)
    assert ours.geometry.value_dim == blind.geometry.value_dim == rank
    for head in range(kv_heads):
        full = contributions(site, context, head)
        least = torch.linalg.svdvals(full)[rank:].square().sum().sqrt()
        lost = (full - contributions(ours, context, head)).norm()
        assert least * (1 - 1e-9) <= lost <= least * 1.02  # a ridge stands between
        assert lost < (full - contributions(blind, context, head)).norm()


def test_without_data_the_products_of_the_weights_are_the_closest():
    site = read(make(10))
    ours = ValueRank(rank=3).edit(site, None)
    for head in range(KV_HEADS):
        heads = [h for h in range(HEADS) if h // 2 == head]
        full = torch.cat([site.value[head].T @ site.out[h] for h in heads], 1)
        mine = torch.cat([ours.value[head].T @ ours.out[h] for h in heads], 1)
        least = torch.linalg.svdvals(full)[3:].square().sum().sqrt()
        torch.testing.assert_close((full - mine).norm(), least)


def test_a_value_bias_is_carried_exactly():
    model = make(10)
    model.site.value.weight.data.zero_()
    x = data(10, rows=9)
    torch.testing.assert_close(apply(model, 1)(x), model(x))


@pytest.mark.parametrize("rank", [1, 3])
def test_the_mean_of_what_the_site_gives_stays(rank):
    model, x = make(10), data(10, 7)
    known = apply(model, rank, seen_of(model, x, mixed=True))(x)
    torch.testing.assert_close(known.mean(1), model(x).mean(1))
    model.site.query.weight.data.zero_()  # so that every query looks at all keys alike
    model.site.query.bias.data.zero_()
    torch.testing.assert_close(apply(model, rank, seen_of(model, x))(x), model(x))


def lost(model, smaller, x):
    return (smaller(x) - model(x)).norm().item()


def test_the_output_is_the_closest_for_what_is_left_of_the_values():
    model, x = make(10), data(10, 7)
    smaller = apply(model, 3, seen_of(model, x, mixed=True))
    rows = []
    smaller.site.out.register_forward_pre_hook(lambda _, args: rows.append(args[0]))
    smaller(x)
    given = nn.functional.pad(rows[0][0], (0, 1), value=1.0)
    best = torch.linalg.lstsq(given, model(x)[0]).solution
    least = (given @ best - model(x)[0]).norm().item()
    assert least <= lost(model, smaller, x) <= 1.02 * least
    assert lost(model, smaller, x) < 0.9 * lost(model, apply(model, 3, seen_of(model, x)), x)
    assert lost(model, smaller, x) < 0.9 * lost(model, apply(model, 3), x)


@pytest.mark.parametrize("known", ["nothing", "context", "mixed"])
def test_more_rank_loses_less(known):
    model, x = make(10), data(10, 7)
    moments = None if known == "nothing" else seen_of(model, x, mixed=known == "mixed")
    losses = [lost(model, apply(model, rank, moments), x) for rank in range(1, VALUE_DIM)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("kv_heads, head", [(4, 2), (2, 1), (2, 2)])
def test_each_head_is_weighed_by_what_it_mixed(kv_heads, head):
    site = read(make(10, kv_heads=kv_heads))
    axis = torch.zeros(HEADS * VALUE_DIM + 1).double()
    axis[head * VALUE_DIM + 5] = 1e4  # as if it mixed hardly anything else
    mixed = moment(draw(1, 50, HEADS * VALUE_DIM, seed=9)) + axis[:, None] * axis
    inputs = moment(data(10))
    ours = ValueRank(rank=1).edit(site, Moments(query=inputs, context=inputs, mixed=mixed, rows=50))
    maps = (ours.value @ torch.linalg.pinv(site.value)).repeat_interleave(site.groups, dim=0)
    first = head // site.groups * site.groups  # of those that share its values
    shared = torch.cat(list(site.out[first : first + site.groups]), 1)
    along = nn.functional.cosine_similarity(maps[head, 0], shared @ shared[5], dim=0)
    assert along.abs() > 0.999  # what the axis gives is all that is asked of the values
    lost = site.out - maps.mT @ ours.out
    assert lost[head, 5].norm() < 1e-2 * site.out[head, 5].norm()
    assert lost[head, 4].norm() > 0.1 * site.out[head, 4].norm()


def test_what_look_has_seen_will_do():
    model, x = make(10), data(10, 7)
    [site], _ = find_sites(model)
    moments = collect_moments(model, [site], [lambda: model(x)])["site"]
    torch.testing.assert_close(
        lost(model, apply(model, 3, moments), x),
        lost(model, apply(model, 3, seen_of(model, x, mixed=True)), x),
        rtol=1e-2,
        atol=0,
    )


@pytest.mark.parametrize("biases", [True, False])
def test_biases_that_there_are_not(biases):
    model = make(10)
    site = read(model)
    bare = site if biases else site.with_(value_bias=None, out_bias=None)
    for moments in (None, seen_of(model, data(10), mixed=True)):
        ours = ValueRank(rank=3).edit(bare, moments)
        assert (ours.value_bias is not None) == biases
        assert ours.out_bias.shape == (10,)  # with and without data, since shapes are the same


def test_a_saved_model_is_rebuilt_from_its_plan():
    model, x = make(10), data(10, 8, rows=9)
    plan = Plan(moves={"site": (ValueRank(rank=3),)})
    smaller = plan.apply(model, {"site": seen_of(model, x, mixed=True)})
    rebuilt = parse_plan(plan.dumps()).apply(make(10, seed=90))
    rebuilt.load_state_dict(smaller.state_dict())
    assert torch.equal(rebuilt(x), smaller(x))


@pytest.mark.parametrize("rank", [8, 9])
def test_refuses_a_rank_that_saves_nothing(rank):
    with pytest.raises(UnsupportedError, match=f"rank must be below 8 here, got {rank}"):
        ValueRank(rank=rank).edit(read(make(10)), None)


def test_refuses_a_dropped_site():
    site = read(make(10))
    with pytest.raises(UnsupportedError, match="a site must have heads left, got a dropped one"):
        ValueRank(rank=3).edit(DropSite().edit(site, None), None)


def test_how_positions_are_mixed_does_not_matter():
    site = read(make(10)).with_(mixing=Mixing(name="hedgehog", settings={"features": 3}))
    assert ValueRank(rank=3).edit(site, None).mixing == site.mixing


def test_rejects_no_rank():
    with pytest.raises(ConfigError, match=re.escape("rank must be at least 1, got 0")):
        ValueRank(rank=0)
