"""Fewer bits: verified before anything is cut, told, kept, and the base of what is cut."""

from contextlib import suppress
from dataclasses import replace

import pytest
from torch import nn

from heedful.allocation import precision
from heedful.allocation.moves import LowPrecision
from heedful.bench.timing import Times
from heedful.optimizing import free_moves as file
from heedful.optimizing import rounds
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock, TimeUp
from heedful.optimizing.events import Note, Verified
from heedful.optimizing.free_moves import free_moves, unjudged_move
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search

WAYS = ["bf16", "int8", "int8 in attention, bf16 elsewhere"]


@pytest.fixture
def told(monkeypatch):
    """How much faster each way is; `made` finds it told."""
    monkeypatch.setattr(file, "WIDE", 16)
    faster = {"speeds": [1.5, 2.0, 1.75]}

    def in_turns(runs, *, rounds):
        speed = faster["speeds"].pop(0)
        return {"before": Times((speed,) * rounds), "after": Times((1.0,) * rounds)}

    monkeypatch.setattr(file, "in_turns", in_turns)
    return faster


def made(kit, *slacks, clock=None, **settings):
    events = []
    budget = Budget(metric="quality", margin=-0.1)
    settings = kit.quick(**{"goal": "latency"} | settings)
    request = {"problem": kit.problem(), "budget": budget, "settings": settings}
    search = Search(Request(**request, listener=events.append, clock=clock or Clock()))
    left = list(slacks)
    search.judged = lambda candidate: replace(candidate, slack=left.pop(0))
    return search, events


@pytest.mark.parametrize(
    "speeds, slacks, ways",
    [
        ([1.5, 2.0, 1.7], [1.0, 1.0], WAYS[:2]),  # int8 everywhere will do
        ([1.5, 2.0, 1.7], [1.0, -1.0, 1.0], WAYS),
        ([0.9, 2.0, 1.7], [1.0], WAYS[1:2]),  # what is no faster is not judged
        ([0.9, 1.0, 0.8], [], []),
    ],
)
def test_the_most_exact_way_comes_first(kit, told, speeds, slacks, ways):
    told["speeds"] = [*speeds]
    search, events = made(kit, *slacks)
    found = list(free_moves(search))
    assert [event.text for event in events if isinstance(event, Verified)] == ways
    assert [round(1 / each.share, 3) for each in found] == [speeds[WAYS.index(way)] for way in ways]


def test_each_plan_makes_its_model(kit, told):
    search, _ = made(kit, 1.0, -1.0, 1.0)
    bf16, int8, both = free_moves(search)
    assert [each.plan.linear for each in (bf16, int8, both)] == ["bf16", "int8", "bf16"]
    assert both.plan.moves == {"own.0": (LowPrecision(precision="int8"),)}
    kinds = [precision.precision_of(each.model) for each in (bf16, int8, both)]
    assert kinds == ["bf16", "int8", "int8"]
    assert precision.precision_of(search.problem.model) is None


def test_the_fastest_that_promises_to_pass_is_what_is_cut(kit, told, monkeypatch):
    search, _ = made(kit, 1.0, -1.0, 1.0)
    starts = []
    search._cut = lambda: starts.append(search.base) or iter(())
    monkeypatch.setattr(rounds, "cut_less", lambda _: iter(()))
    found = list(search.run())
    assert starts == found[2:]
    assert search.base_costs is not search.costs


@pytest.mark.parametrize("goal", ["macs", "memory"])
def test_other_goals_gain_nothing_from_fewer_bits(kit, told, goal):
    assert list(free_moves(made(kit, goal=goal)[0])) == []


def test_layers_of_a_few_numbers_are_left_alone(kit):
    assert list(free_moves(made(kit)[0])) == []


@pytest.mark.parametrize(
    "wide, speeds, slacks, ways",
    [
        (99, [1.5], [1.0], ["int8 in narrow layers too"]),
        (99, [0.9], [], []),
        (20, [1.5, 2.0, 2.5], [1.0, 1.0, 1.0], [*WAYS[:2], "int8 in narrow layers too"]),
        # where fewer layers lose too much, more do not gain anything
        (20, [1.5, 2.0, 1.75], [1.0, -1.0, 1.0], WAYS),
    ],
)
def test_narrow_layers_follow_where_int8_loses_little(
    kit, told, monkeypatch, wide, speeds, slacks, ways
):
    monkeypatch.setattr(file, "WIDE", wide)
    monkeypatch.setattr(file, "NARROW", 16)
    told["speeds"] = [*speeds]
    search, events = made(kit, *slacks)
    search.problem.model.wider = nn.Linear(20, 20)
    found = list(free_moves(search))
    assert [event.text for event in events if isinstance(event, Verified)] == ways
    if ways[-1:] == ["int8 in narrow layers too"]:
        assert (found[-1].plan.linear, found[-1].plan.narrowest) == ("int8", 16)
        assert precision.precision_of(found[-1].model.own) == "int8"


def test_what_multiplies_in_bf16_is_left_so(kit, told, monkeypatch):
    monkeypatch.setattr(file, "WIDE", 99)
    monkeypatch.setattr(file, "NARROW", 16)
    search, _ = made(kit)
    precision.lower(search.problem.model.own, "bf16")
    search.problem.model.wider = nn.Linear(20, 20)
    assert list(free_moves(search)) == []


def test_none_begins_when_time_is_up(kit, told):
    search, _ = made(kit, 1.0, clock=Clock(1.0, now=lambda: 0.0))
    search.clock.kept = 60.0
    with pytest.raises(TimeUp):
        next(free_moves(search))


def late(kit, *slacks):
    """A search that ends while the first way is judged, unless it was."""
    search, events = made(kit, *slacks, clock=Clock(1.0, now=lambda: 0.0))
    if not slacks:

        def judged(_):
            raise TimeUp

        search.judged = judged
    with suppress(TimeUp):
        next(free_moves(search))
    search.cut_short = True
    return search, events


def test_where_nothing_was_judged_in_time_the_most_exact_way_is_left_to_the_proof(kit, told):
    search, events = late(kit)
    told["speeds"] = [1.25]
    found = unjudged_move(search)
    assert found.plan.linear == "bf16"
    assert found.share == 1 / 1.25
    assert 0 <= found.divergence < 0.1
    assert found.verdict is None
    text = "nothing was judged in time: bf16 is left to the proof"
    assert events[-1] == Note(text=text)
    told["speeds"] = [0.9]
    assert unjudged_move(search) is None, "no faster"


def test_nothing_is_left_to_the_proof_where_there_was_time(kit, told):
    search, _ = late(kit)
    search.cut_short = False
    assert unjudged_move(search) is None
    search.cut_short = True
    search.answers.only(search.original)
    assert unjudged_move(search) is None
    search, _ = late(kit, -1.0)
    assert unjudged_move(search) is None, "it was judged, and lost too much"
    search, _ = made(kit, goal="macs")
    search.cut_short = True
    assert unjudged_move(search) is None
