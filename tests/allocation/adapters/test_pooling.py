"""Attention pooling: read, changed and written, it gives what the formula says."""

import copy

import pytest
import torch
from torch import nn

import heedful
from heedful.allocation.adapters import PoolingAdapter
from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import (
    DropSite,
    KeepHeads,
    QueryKeyRank,
    ShareKeyValue,
    ValueRank,
    Window,
)
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.nn import AttentionPooling
from heedful.nn.mechanisms import Additive
from heedful.testing.tolerance import assert_close

ADAPTER = PoolingAdapter()
WIDTH, QUERIES, HEADS, DIM, VALUE_DIM = 12, 3, 4, 6, 5
MASK = Mask.lengths(torch.tensor([7, 4]))


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(**settings):
    sizes = {"width": WIDTH, "queries": QUERIES, "heads": HEADS, "dim": DIM, "value_dim": VALUE_DIM}
    pooling = AttentionPooling(**(sizes | settings)).double()
    with torch.no_grad():
        for seed, parameter in enumerate(pooling.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.4)
    return pooling


class Model(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.pooling = make(**settings)

    def forward(self, x, mask=MASK):
        return self.pooling(x, mask=mask)


def seen_of(model, x=None):
    x = draw(2, 7, WIDTH) if x is None else x
    return collect_moments(model, find_sites(model)[0], [lambda: model(x)])["pooling"]


def same(actual, want):
    assert_close(actual, want, roundings=500, largest=want.abs().max().item())


@pytest.mark.parametrize("squash", [False, True])
@torch.no_grad()
def test_written_as_it_was_read_it_is_the_same(squash):
    pooling, x = make(squash=squash).eval().requires_grad_(False), draw(2, 7, WIDTH)
    before = copy.deepcopy(pooling.state_dict())
    projections = ADAPTER.read(pooling)
    new = ADAPTER.write(pooling, projections)
    same(new(x, mask=MASK), pooling(x, mask=MASK))
    assert new.squash == squash
    assert not new.training
    assert not any(parameter.requires_grad for parameter in new.parameters())
    assert all(torch.equal(before[name], x) for name, x in pooling.state_dict().items())
    geometry = projections.geometry
    assert (geometry.width, geometry.context, geometry.out) == (QUERIES, WIDTH, WIDTH)
    assert (geometry.heads, geometry.dim, geometry.value_dim) == (HEADS, DIM, VALUE_DIM)


@torch.no_grad()
def test_heads_that_stay_are_those_of_the_formula():
    model, x = Model(), draw(2, 7, WIDTH)
    pooling = model.pooling
    changed = Plan(moves={"pooling": (KeepHeads(heads=(1, 3)),)}).apply(model)
    assert isinstance(changed.pooling, AttentionPooling)
    assert changed.pooling.heads == 2
    shares = pooling.weights(x, mask=MASK)[:, [1, 3]]
    value = pooling.value(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)[:, [1, 3]]
    out = pooling.out.weight.T.unflatten(0, (HEADS, -1))[[1, 3]]
    want = torch.einsum("bhrj,bhjv,hvo->bro", shares, value, out) + pooling.out.bias
    same(changed(x), want)


@torch.no_grad()
def test_what_is_seen_of_learned_queries_is_nothing_and_padding_does_not_count():
    model, x = Model(), draw(2, 7, WIDTH)
    seen = seen_of(model, x)
    assert seen.query.numel() == 0
    assert not seen.self_attention
    assert seen.rows == 2 * QUERIES
    there = torch.cat([x[0], x[1, :4]])
    there = torch.cat([there, torch.ones(11, 1)], 1)
    torch.testing.assert_close(seen.context, there.T @ there, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("move", [QueryKeyRank(rank=5), ValueRank(rank=4)], ids=["query", "value"])
@torch.no_grad()
def test_a_rank_that_is_not_needed_changes_nothing(move):
    model, x = Model(), draw(2, 7, WIDTH)
    model.pooling.query[..., 5] = 0  # nothing meets in the last direction
    model.pooling.value.weight.unflatten(0, (HEADS, -1))[:, 4] = 0
    model.pooling.value.bias.unflatten(0, (HEADS, -1))[:, 4] = 0
    changed = Plan(moves={"pooling": (move,)}).apply(model, moments={"pooling": seen_of(model)})
    assert (changed.pooling.dim, changed.pooling.value_dim) != (DIM, VALUE_DIM)
    torch.testing.assert_close(changed(x), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "move, message",
    [
        (DropSite(), "a pooling without heads would have nothing to give for its queries"),
        (ShareKeyValue(kv_heads=2), "each of its heads has keys and values of its own"),
        (Window(window=3), "its queries are learned and stand at no position"),
    ],
)
def test_what_it_cannot_become_is_refused_in_words(move, message):
    with pytest.raises(UnsupportedError, match=message):
        Plan(moves={"pooling": (move,)}).apply(Model())


class Loud(AttentionPooling):
    def mix(self, query, key, value, mask):
        return 2 * super().mix(query, key, value, mask)


REASONS = {
    "mechanism": (
        lambda: make(mechanism=Additive(heads=HEADS, dim=DIM)),
        "its scores are those of Additive, which belongs to its heads",
    ),
    "class": (lambda: Loud(width=WIDTH), "its class Loud has a mix of its own"),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_cannot_be_changed_is_listed_with_the_reason(name):
    build, reason = REASONS[name]
    model = Model()
    model.pooling = build()
    assert find_sites(model) == ([], {"pooling": reason})


def test_a_mask_of_each_query_leaves_all_positions_counted():
    visible = torch.ones(2, 1, QUERIES, 7, dtype=torch.bool)
    x = draw(2, 7, WIDTH)
    assert ADAPTER.present((x,), {"mask": Mask.dense(visible)}) == (None, None)
    assert ADAPTER.present((x,), {}) == (None, None)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, WIDTH)
        self.pooling = AttentionPooling(width=WIDTH, heads=4)
        self.classify = nn.Linear(WIDTH, 3)

    def forward(self, x):
        return self.classify(self.pooling(self.embedding(x))[:, 0])


def test_profile_measures_it():
    torch.manual_seed(0)
    model = Classifier().eval()
    batches = [torch.randint(20, (4, 7)) for _ in range(2)]
    profile = heedful.profile(model, batches, leave_out=0)
    assert [site.name for site in profile.sites] == ["pooling"]
    assert profile.not_adaptable == {}
