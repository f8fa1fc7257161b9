"""Costs by a clock that the tests turn: no machine is fast or slow here."""

import json

import pytest
import torch
from torch import nn

from heedful.allocation.moves import KeepHeads, Window
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.nn import Attention
from heedful.optimizing import latency_table
from heedful.optimizing.latency_table import LatencyTable, site_seconds

REST = 5.0


class Clock:
    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Model(nn.Module):
    """Three sites, of which the first runs twice and the last never."""

    def __init__(self):
        super().__init__()
        for name in ("twice", "once", "never"):
            self.add_module(name, Attention(width=8, heads=4))

    def forward(self, x):
        return self.once(self.twice(self.twice(x)))


@pytest.fixture
def clock(monkeypatch):
    """A second for each head, ten for a window of ten."""
    clock = Clock()
    forward = Attention.forward

    def slow(self, *args, **kwargs):
        clock.now += self.heads if self.mechanism is None else self.mechanism.window
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(Attention, "forward", slow)
    monkeypatch.setattr(latency_table, "time", clock)
    return clock


@pytest.fixture
def table(clock):
    model = unfused(Model())
    works = []

    def work(model):
        works.append(model)
        clock.now += REST
        model(torch.zeros(1, 3, 8))

    table = LatencyTable(model, find_sites(model)[0], work)
    table.works = works
    return table


def option(model, name, *moves):
    """The projections after moves at a site, and the moves."""
    site = next(site for site in find_sites(model)[0] if site.name == name)
    projections = site.read(model)
    for move in moves:
        projections = move.edit(projections, None)
    return projections


def site_of(table, name):
    return next(site for site in table.sites if site.name == name)


def builder(table, moves, built):
    def build(chosen):
        built.append(chosen)
        plan = Plan(moves={name: moves[name][number] for name, number in chosen.items()})
        return plan.apply(table.model)

    return build


def test_time_is_that_of_the_sites_and_the_rest(clock):
    model = Model()

    def work(model):
        clock.now += REST
        model(torch.zeros(1, 3, 8))

    spent, rest = site_seconds(model, find_sites(model)[0], work)
    assert (spent, rest) == ({"twice": 8.0, "once": 4.0, "never": 0.0}, REST)
    assert not any("forward" in vars(module) for module in model.modules())


def test_forward_is_restored_after_an_error():
    model = Model()

    def fail(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site_seconds(model, find_sites(model)[0], fail)
    assert not any("forward" in vars(module) for module in model.modules())


def test_the_original_is_measured_at_once(table):
    assert (table.total, table.rest) == (8 + 4 + REST, REST)
    costs = [table.seconds(site, site.read(table.model)) for site in table.sites]
    assert costs == [8.0, 4.0, 0.0]


def test_what_was_not_measured_has_no_cost(table):
    with pytest.raises(KeyError):
        table.seconds(site_of(table, "once"), option(table.model, "once", KeepHeads(heads=(1,))))


def test_each_run_measures_one_way_of_every_site(table):
    one, two = (KeepHeads(heads=(1,)),), (KeepHeads(heads=(0, 3)),)
    moves = {"twice": [(), one, two], "once": [(), two]}
    wanted = {name: [option(table.model, name, *of) for of in all] for name, all in moves.items()}
    built = []
    table.measure(wanted, builder(table, moves, built))
    assert len(built) == 2
    assert built == [{"twice": 1, "once": 1}, {"twice": 2}]
    found = {
        name: [table.seconds(site_of(table, name), p) for p in of] for name, of in wanted.items()
    }
    assert found == {"twice": [8.0, 2.0, 4.0], "once": [4.0, 2.0]}
    table.measure(wanted, builder(table, moves, built))
    assert len(built) == 2


class Alike(nn.Module):
    """Two sites that are the same and are used the same."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (Attention(width=8, heads=4) for _ in range(2))

    def forward(self, x):
        return self.second(self.first(x))


def test_sites_that_are_alike_share_what_is_measured(clock):
    model = unfused(Alike())
    sites = find_sites(model)[0]
    alike = {"first": "first", "second": "first"}
    table = LatencyTable(model, sites, lambda model: model(torch.zeros(1, 3, 8)), alike=alike)
    ways = [(), (KeepHeads(heads=(1,)),), (KeepHeads(heads=(0, 3)),)]
    moves = {"first": ways, "second": ways}
    wanted = {name: [option(model, name, *of) for of in ways] for name in moves}
    built, told = [], []
    table.measure(wanted, builder(table, moves, built), told.append)
    assert built == [{"first": 1, "second": 2}]
    assert told == [0.0]
    for site in sites:
        assert [table.seconds(site, way) for way in wanted[site.name]] == [4.0, 1.0, 2.0]


def test_ways_of_the_same_geometry_are_measured_once(table):
    moves = {"once": [(KeepHeads(heads=(head,)),) for head in range(4)]}
    wanted = {"once": [option(table.model, "once", *of) for of in moves["once"]]}
    built = []
    table.measure(wanted, builder(table, moves, built))
    assert len(built) == 1
    assert {table.seconds(site_of(table, "once"), p) for p in wanted["once"]} == {1.0}


def test_windows_of_different_sizes_are_different_ways(table):
    moves = {"once": [(Window(window=2),), (Window(window=7),)]}
    wanted = {"once": [option(table.model, "once", *of) for of in moves["once"]]}
    table.measure(wanted, builder(table, moves, []))
    costs = [table.seconds(site_of(table, "once"), p) for p in wanted["once"]]
    assert costs == [2.0, 7.0]


def test_costs_follow_the_original_when_the_machine_slows_down(table, clock, monkeypatch):
    original = Clock.perf_counter
    monkeypatch.setattr(Clock, "perf_counter", lambda self: 3 * original(self))
    moves = {"once": [(KeepHeads(heads=(1, 2)),)]}
    wanted = {"once": [option(table.model, "once", *moves["once"][0])]}
    table.measure(wanted, builder(table, moves, []))
    assert table.seconds(site_of(table, "once"), wanted["once"][0]) == 2.0


def test_an_earlier_table_is_taken_up_without_work(table):
    moves = {"once": [(Window(window=2),)]}
    wanted = {"once": [option(table.model, "once", *moves["once"][0])]}
    table.measure(wanted, builder(table, moves, []))
    known = json.loads(json.dumps(table.to_json()))
    again = LatencyTable(table.model, table.sites, lambda model: pytest.fail("worked"), known)
    again.measure(wanted, lambda chosen: pytest.fail("built"))
    assert (again.total, again.rest) == (table.total, table.rest)
    for site in table.sites:
        here = site.read(table.model)
        assert again.seconds(site, here) == table.seconds(site, here)
    assert again.seconds(site_of(again, "once"), wanted["once"][0]) == 2.0
