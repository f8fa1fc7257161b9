"""One cost for each goal, in its own unit."""

import pytest
import torch

from heedful.allocation.moves import DropSite, KeepHeads, Recurrence, ShareKeyValue
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.optimizing.operations import Usage, operations, parameters
from heedful.optimizing.site_costs import BYTES, SiteCosts

VISITS = {"own.0": Usage(queries=50, context=40, pairs=2000, longest=40)}


def site_costs(goal, model, work=lambda model: pytest.fail("nothing is timed")):
    return SiteCosts(goal, model, find_sites(model)[0], VISITS, work)


def after(model, *moves):
    return find_sites(model)[0][0].read(Plan(moves={"own.0": moves}).apply(model))


def test_multiply_adds_are_operations(kit):
    model = kit.planted(layers=2)
    spent = site_costs("macs", model)
    first, second = spent_sites = find_sites(model)[0]
    here = first.read(model)
    assert spent.of(first, here) == operations(here.geometry, VISITS["own.0"]).total
    assert spent.of(second, here) == 0  # nothing visits it
    assert spent.whole == sum(spent.of(site, site.read(model)) for site in spent_sites)
    assert spent.rest == 0
    spent.measure({}, lambda chosen: pytest.fail("nothing is built"))


def test_memory_is_weights_and_cached_keys_and_values(kit):
    model = kit.planted()
    site = find_sites(model)[0][0]
    spent = site_costs("memory", model)
    weights, cached = 4 * 16 * 16, 40 * 2 * 16
    assert spent.of(site, site.read(model)) == BYTES * (weights + cached)
    assert spent.rest == BYTES * (parameters(model) - weights)
    shared = after(model, ShareKeyValue(kv_heads=1))
    assert spent.of(site, shared) == BYTES * (2 * 16 * 16 + 2 * 16 * 4 + 40 * 2 * 4)
    assert spent.of(site, after(model, Recurrence())) == BYTES * 3 * 16 * 16


@pytest.mark.parametrize("goal", ["macs", "memory"])
def test_less_costs_less(kit, goal):
    model = kit.planted()
    site = find_sites(model)[0][0]
    spent = site_costs(goal, model)
    options = [(), (KeepHeads(heads=(0, 2, 3)),), (KeepHeads(heads=(1,)),), (DropSite(),)]
    costs = [spent.of(site, after(model, *moves)) for moves in options]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)
    assert costs[-1] == 0


def test_latency_is_what_the_table_measured(kit):
    model = kit.planted()
    site = find_sites(model)[0][0]
    runs = []

    def work(model):
        runs.append(model)
        model(torch.zeros(1, 3, dtype=torch.long))

    spent = site_costs("latency", model, work)
    assert spent.table is not None
    assert spent.rest == spent.table.rest
    assert spent.of(site, site.read(model)) == spent.table.seconds(site, site.read(model)) > 0
    assert len(runs) >= 2
    few = after(model, KeepHeads(heads=(2,)))
    built = []

    def build(chosen):
        built.append(chosen)
        return Plan(moves={"own.0": (KeepHeads(heads=(2,)),)}).apply(model)

    spent.measure({"own.0": [site.read(model), few]}, build)
    assert built == [{"own.0": 1}]
    assert spent.of(site, few) > 0
