"""Small cuts before large ones, until one loses too much."""

from dataclasses import replace

import pytest

from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import Clock, TimeUp
from heedful.optimizing.compression_levels import CompressionLevel
from heedful.optimizing.events import Verified
from heedful.optimizing.prepared import Prepared
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search
from heedful.optimizing.small_steps import small_steps

SITES = 8


@pytest.fixture
def search(kit):
    events = []
    budget = Budget(metric="quality", margin=-0.1)
    request = {"problem": kit.problem(), "budget": budget, "settings": kit.quick()}
    clock = Clock(1.0, now=lambda: 0.0)
    found = Search(Request(**request, listener=events.append, clock=clock))
    found.events = events
    return found


def prepared(search, cheaper=0.5):
    whole = CompressionLevel(label="as it is", cost=1.0, divergence=0.0)
    table = [[whole, replace(whole, cost=cheaper, divergence=1.0)]] * SITES
    return Prepared(current=search.original, options=None, table=table)


def judged(search, *slacks):
    left = list(slacks)
    search.candidate = lambda prepared, assignment: replace(
        search.original, share=1 - sum(assignment) / 2 / SITES
    )
    search.judged = lambda candidate: replace(candidate, slack=left.pop(0))


@pytest.mark.parametrize(
    "slacks, shares",
    [
        ((1.0, 1.0, 1.0), [15 / 16, 14 / 16, 12 / 16]),
        ((1.0, -1.0), [15 / 16, 14 / 16]),
        ((-1.0,), [15 / 16]),
    ],
)
def test_each_takes_twice_as_much_until_one_loses_too_much(search, slacks, shares):
    judged(search, *slacks)
    cuts, found = zip(*small_steps(search, prepared(search), 0.5), strict=True)
    assert [each.share for each in found] == shares
    assert cuts == (1 / 16, 1 / 8, 1 / 4)[: len(shares)]
    told = [event for event in search.events if isinstance(event, Verified)]
    assert [event.candidate for event in told] == list(found)
    assert told[0].text == "a cut of 6%"


def test_the_same_choice_is_judged_once(search):
    judged(search, 1.0, 1.0)
    found = list(small_steps(search, prepared(search, cheaper=0.0), 0.5))
    assert len(found) == 2


def test_what_can_be_cut_no_further_asks_nothing(search):
    fixed = [[CompressionLevel(label="as it is", cost=9.0, divergence=0.0)]]
    assert list(small_steps(search, replace(prepared(search), table=fixed), 0.5)) == []


def test_none_begins_when_time_is_up(search):
    search.clock.took["dev"] = 61.0
    with pytest.raises(TimeUp):
        list(small_steps(search, prepared(search), 0.5))
