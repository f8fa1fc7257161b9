"""Scores from fewer dimensions are the closest that this rank allows, on the data."""

import re

import pytest
import torch
from torch import nn

from heedful.allocation.moments import Moments
from heedful.allocation.moves import DropSite, QueryKeyRank
from heedful.allocation.plan import Plan, parse_plan
from heedful.allocation.projections import Mixing, Rotary
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.nn import Attention
from heedful.nn.positions import RelativePositions, RotaryPositions

HEADS, KV_HEADS, DIM, VALUE_DIM = 4, 2, 8, 3


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


def seen_of(x, context):
    return Moments(query=moment(x), context=moment(context), mixed=None, rows=x.shape[1])


def read(model):
    [site], _ = find_sites(model)
    return site.read(model)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("biases", [True, False])
def test_nothing_is_lost_when_the_rank_was_not_used(relative, known, biases):
    positions = RelativePositions(HEADS, buckets=4, max_distance=5) if relative else None
    model = make(5, positions=positions)  # so that no product of projections has more than rank 5
    if not biases:
        model.site.query.bias.data.zero_()
    x, context = data(5, 4, rows=9), data(5, 5, rows=6)
    moments = {"site": seen_of(data(5), data(5, 6))} if known else None
    smaller = Plan(moves={"site": (QueryKeyRank(rank=5),)}).apply(model, moments)
    assert smaller.site.query.weight.shape == (HEADS * 5, 5)
    assert smaller.site.key.weight.shape == (KV_HEADS * 5, 5)
    assert (smaller.site.dim, smaller.site.value_dim) == (5, VALUE_DIM)
    for inputs in ((x,), (x, context)):
        torch.testing.assert_close(smaller(*inputs), model(*inputs), rtol=0, atol=1e-9)


def scores(site, x, context, key_head):
    """Of all query heads of a key head, one below the other; what a row shares is taken away."""
    key = context[0] @ site.key[key_head].T + site.key_bias[key_head]
    rows = [
        (x[0] @ site.query[head].T + site.query_bias[head]) @ key.T
        for head in range(HEADS)
        if head // (HEADS // len(site.key)) == key_head
    ]
    rows = torch.cat(rows)
    return rows - rows.mean(1, keepdim=True)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 7])
def test_scores_are_the_closest_that_this_rank_allows(rank, kv_heads):
    x, context = data(10), data(10, 7, rows=50)
    site = read(make(10, kv_heads=kv_heads))
    ours = QueryKeyRank(rank=rank).edit(site, seen_of(x, context))
    blind = QueryKeyRank(rank=rank).edit(site, None)
    assert ours.geometry.dim == blind.geometry.dim == rank
    assert ours.scale == site.scale
    for head in range(kv_heads):
        full = scores(site, x, context, head)
        least = torch.linalg.svdvals(full)[rank:].square().sum().sqrt()
        lost = (full - scores(ours, x, context, head)).norm()
        assert least * (1 - 1e-9) <= lost <= least * 1.02  # a ridge stands between
        assert lost < (full - scores(blind, x, context, head)).norm()


def test_without_data_the_products_of_the_weights_are_the_closest():
    site = read(make(10))
    bare = site.with_(query_bias=None, key_bias=None)
    ours = QueryKeyRank(rank=3).edit(bare, None)
    assert (ours.query_bias, ours.key_bias) == (None, None)
    for head in range(KV_HEADS):
        heads = [h for h in range(HEADS) if h // 2 == head]
        full = torch.cat([bare.query[h].T @ bare.key[head] for h in heads])
        mine = torch.cat([ours.query[h].T @ ours.key[head] for h in heads])
        least = torch.linalg.svdvals(full)[3:].square().sum().sqrt()
        torch.testing.assert_close((full - mine).norm(), least)


def test_keys_keep_their_size():
    site = read(make(10))
    ours = QueryKeyRank(rank=3).edit(site, None)
    for new, old in zip(ours.key, site.key, strict=True):
        back = new @ torch.linalg.pinv(old)
        torch.testing.assert_close(back @ back.T, torch.eye(3).double())


def test_a_key_bias_does_not_take_a_dimension():
    x, context = data(10), data(10, 7)
    site = read(make(10))
    biased = site.with_(key_bias=site.key_bias + 100)
    for moments in (None, seen_of(x, context)):
        ours, other = (QueryKeyRank(rank=2).edit(one, moments) for one in (site, biased))
        torch.testing.assert_close(
            scores(ours, x, context, 1), scores(other, x, context, 1), rtol=0, atol=1e-8
        )


def rotary(kept=None):
    return RotaryPositions(DIM, pairs=kept, whole=2 * DIM if kept else None)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("rank", [2, 4, 6])
@pytest.mark.parametrize("kept", [None, (1, 2, 5, 7)])
def test_dropped_pairs_are_those_that_could_be_masked(rank, known, kept):
    model, x = make(10, positions=rotary(kept)), data(10, 8, rows=9)
    moments = seen_of(data(10), data(10)) if known else None
    move = QueryKeyRank(rank=rank).resolved(read(model), moments)
    assert len(move.pairs) == rank // 2
    smaller = Plan(moves={"site": (move,)}).apply(model, {"site": moments} if known else None)
    places = [(kept or tuple(range(DIM // 2))).index(pair) for pair in move.pairs]
    masked = make(10, positions=rotary(kept))
    for linear in (masked.site.query, masked.site.key):
        for pair in set(range(DIM // 2)) - set(places):
            for at in (pair, pair + DIM // 2):
                linear.weight.data[at::DIM] = 0
                linear.bias.data[at::DIM] = 0
    assert smaller.site.dim == rank
    assert smaller.site.positions.pairs == move.pairs
    torch.testing.assert_close(smaller(x), masked(x))
    torch.testing.assert_close(smaller(x, x[:, :4]), masked(x, x[:, :4]))


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_pairs_stay_that_matter_most_to_the_scores(kv_heads):
    x, context = data(10), data(10, 7, rows=50)
    model = make(10, positions=rotary((7, 5, 2, 1)), kv_heads=kv_heads)
    site = read(model)
    matters = dict.fromkeys(site.rotary.pairs, 0.0)
    for place, pair in enumerate(site.rotary.pairs):
        for head in range(HEADS):
            size = 1.0
            for at, inputs, name in (
                (head, x, "query"),
                (head // (HEADS // kv_heads), context, "key"),
            ):
                weight, bias = getattr(site, name)[at], getattr(site, f"{name}_bias")[at]
                both = inputs[0] @ weight.T + bias
                size *= both[:, [place, place + DIM // 2]].square().sum(1).mean().item()
            matters[pair] += size
    order = sorted(matters, key=matters.__getitem__, reverse=True)
    for pairs in (1, 2, 3):
        move = QueryKeyRank(rank=2 * pairs).resolved(site, seen_of(x, context))
        assert move == QueryKeyRank(rank=2 * pairs, pairs=tuple(sorted(order[:pairs])))
        assert move.resolved(site, None) is move


def test_fewer_pairs_twice_are_fewer_pairs():
    site = read(make(10, positions=rotary()))
    twice = QueryKeyRank(rank=4, pairs=(0, 2)).edit(
        QueryKeyRank(rank=6, pairs=(0, 2, 3)).edit(site, None), None
    )
    once = QueryKeyRank(rank=4, pairs=(0, 2)).edit(site, None)
    assert twice.rotary == once.rotary == Rotary(pairs=(0, 2), whole=DIM)
    assert torch.equal(twice.query, once.query)
    assert torch.equal(twice.key_bias, once.key_bias)
    bare = QueryKeyRank(rank=4).edit(site.with_(query_bias=None, key_bias=None), None)
    assert (bare.query_bias, bare.key_bias) == (None, None)


@pytest.mark.parametrize("turned", [False, True])
def test_a_saved_model_is_rebuilt_from_its_plan(turned):
    model = make(10, positions=rotary() if turned else None)
    x = data(10, 8, rows=9)
    moments = seen_of(data(10), data(10))
    plan = Plan(moves={"site": (QueryKeyRank(rank=4).resolved(read(model), moments),)})
    smaller = plan.apply(model, {"site": moments})
    rebuilt = parse_plan(plan.dumps()).apply(
        make(10, seed=90, positions=rotary() if turned else None)
    )
    rebuilt.load_state_dict(smaller.state_dict())
    assert torch.equal(rebuilt(x), smaller(x))


@pytest.mark.parametrize(
    "positions, settings, message",
    [
        (None, {"rank": 8}, "rank must be below 8 here, got 8"),
        (
            None,
            {"rank": 4, "pairs": (1, 2)},
            "pairs must be left out where positions turn none, got [1, 2]",
        ),
        ("rotary", {"rank": 3}, "rank must be even where positions turn pairs, got 3"),
        ("rotary", {"rank": 4, "pairs": (1, 5)}, "pairs must be some of [0, 1, 2, 3], got [1, 5]"),
    ],
)
def test_refuses_what_the_site_cannot_have(positions, settings, message):
    site = read(make(10, positions=rotary() if positions else None))
    for refusing in (QueryKeyRank.edit, QueryKeyRank.resolved):
        with pytest.raises(UnsupportedError, match=re.escape(message)):
            refusing(QueryKeyRank(**settings), site, None)


def test_refuses_sites_that_it_does_not_understand():
    site, move = read(make(10)), QueryKeyRank(rank=4)
    partly = site.with_(rotary=Rotary(pairs=(0, 1, 2), whole=DIM))
    with pytest.raises(UnsupportedError, match="positions must turn all 8 components, got 3 pairs"):
        move.edit(partly, None)
    with pytest.raises(UnsupportedError, match=r"heads must mix by one of .*, got hedgehog"):
        move.edit(site.with_(mixing=Mixing(name="hedgehog")), None)
    with pytest.raises(UnsupportedError, match="must meet as projected, got norms behind the pro"):
        move.edit(site.with_(normed=True), None)
    with pytest.raises(UnsupportedError, match="a site must have heads left, got a dropped one"):
        move.edit(DropSite().edit(site, None), None)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"rank": 4, "pairs": (2, 1)}, "ascending numbers as rank 4, got [2, 1]"),
        ({"rank": 4, "pairs": (1, 1)}, "ascending numbers as rank 4, got [1, 1]"),
        ({"rank": 4, "pairs": (-1, 1)}, "ascending numbers as rank 4, got [-1, 1]"),
        ({"rank": 6, "pairs": (0, 1)}, "half as many ascending numbers as rank 6, got [0, 1]"),
    ],
)
def test_rejects_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        QueryKeyRank(**settings)
