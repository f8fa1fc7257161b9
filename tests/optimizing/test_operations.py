"""Operations by hand, and visits as the model really makes them."""

import pytest
import torch
from torch import nn

from heedful.allocation.moves import DropSite, Window
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.projections import Geometry, Mixing
from heedful.allocation.sites import find_sites
from heedful.nn import Attention
from heedful.optimizing.operations import (
    Usage,
    operations,
    parameters,
    record_usage,
    total_operations,
    visible_share,
)

SIZES = {"width": 11, "context": 13, "out": 17, "heads": 6, "kv_heads": 2, "dim": 3, "value_dim": 5}


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.own, self.cross = Attention(width=8, heads=2), Attention(width=8, heads=4)
        self.spare = Attention(width=8, heads=1)

    def forward(self, x, context):
        return self.cross(self.own(x), context)


def visited(model, *calls):
    model = unfused(model)
    return record_usage(
        model, find_sites(model)[0], [lambda call=call: model(*call) for call in calls]
    )


def test_counts_every_product():
    usage = Usage(queries=7, context=19, pairs=7 * 19, longest=19)
    found = operations(Geometry(**SIZES), usage)
    query, out = 7 * 6 * 3 * 11, 7 * 6 * 5 * 17
    key, value = 19 * 2 * 3 * 13, 19 * 2 * 5 * 13
    assert found.projections == query + out + key + value
    assert found.scores == 7 * 19 * 6 * 3
    assert found.aggregation == 7 * 19 * 6 * 5
    assert found.total == found.projections + found.scores + found.aggregation


@pytest.mark.parametrize(
    "mixing, keys, share",
    [
        (None, 100, 1.0),
        (Mixing(name="window", settings={"window": 8, "ahead": 7, "sinks": 5}), 100, 0.2),
        (Mixing(name="window", settings={"window": 8}), 100, 0.08),
        (Mixing(name="window", settings={"window": 800}), 100, 1.0),
        (Mixing(name="hedgehog"), 100, 0.06),
        (Mixing(name="hedgehog"), 3, 1.0),
        (Mixing(name="top_k", settings={"kept": 4}), 100, 1.0),
        (Mixing(name="window", settings={"window": 8}), 0, 1.0),
    ],
)
def test_what_is_hidden_by_the_mechanism_is_not_computed(mixing, keys, share):
    geometry = Geometry(**SIZES, mixing=mixing)
    assert visible_share(geometry, keys) == pytest.approx(share)
    usage = Usage(queries=1, context=keys, pairs=keys, longest=keys)
    assert operations(geometry, usage).scores == pytest.approx(share * keys * 18)


def test_a_recurrence_takes_three_projections_and_a_product_a_component():
    geometry = Geometry(
        width=8, context=8, out=8, heads=2, kv_heads=2, dim=0, value_dim=4,
        mixing=Mixing(name="gated_recurrence"),
    )  # fmt: skip
    found = operations(geometry, Usage(queries=5, context=5, pairs=25, longest=5))
    assert found.projections == 5 * 3 * 8 * 8
    assert (found.scores, found.aggregation) == (0, 5 * 8)


def test_visits_are_those_of_the_calls():
    small, large = torch.randn(2, 3, 8), torch.randn(1, 5, 8)
    found = visited(Two(), (small, torch.randn(2, 7, 8)), (large, torch.randn(1, 4, 8)))
    assert found == {
        "own": Usage(queries=11, context=11, pairs=6 * 3 + 5 * 5, longest=5, own=True),
        "cross": Usage(queries=11, context=18, pairs=6 * 7 + 5 * 4, longest=7, own=False),
        "spare": Usage(),
    }


def test_a_context_of_the_same_shape_is_not_the_same():
    x = torch.randn(2, 3, 8)
    assert not visited(Two(), (x, x.clone()))["cross"].own


def test_listens_no_longer_than_it_runs():
    model = unfused(Two())
    sites = find_sites(model)[0]
    with pytest.raises(ZeroDivisionError):
        record_usage(model, sites, [lambda: 1 / 0])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_dropped_sites_are_not_watched_and_cost_nothing():
    model, call = Two(), (torch.randn(2, 3, 8), torch.randn(2, 7, 8))
    usage = visited(model, call)
    dropped = Plan(moves={"own": (DropSite(),)}).apply(model)
    sites = find_sites(unfused(model))[0]
    assert "own" not in record_usage(dropped, sites, [lambda: dropped(*call)])
    saved = total_operations(model, sites, usage) - total_operations(dropped, sites, usage)
    assert saved == operations(sites[0].read(model).geometry, usage["own"]).total > 0


def test_totals_name_only_what_was_visited():
    model = Two()
    sites = find_sites(model)[0]
    usage = {"own": Usage(queries=3, context=3, pairs=9, longest=3)}
    expected = operations(sites[0].read(model).geometry, usage["own"]).total
    assert total_operations(model, sites, usage) == expected


def test_windows_make_a_total_smaller():
    model = Two()
    sites = find_sites(model)[0]
    usage = {"own": Usage(queries=50, context=50, pairs=2500, longest=50)}
    narrow = Plan(moves={"own": (Window(window=4),)}).apply(model)
    assert total_operations(narrow, sites, usage) < total_operations(model, sites, usage)


def test_shared_parameters_count_once():
    model = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 4)])
    assert parameters(model) == 2 * (12 + 4)
    model[1].weight = model[0].weight
    assert parameters(model) == 12 + 2 * 4
