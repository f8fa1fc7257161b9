"""The cheapest that is tolerated: all of it with time enough, most of it with little."""

import itertools
import math
import random
import re

import pytest

from heedful.errors import ConfigError
from heedful.optimizing import cheapest as module
from heedful.optimizing.cheapest import STEP, cheapest
from heedful.optimizing.evolve import improve
from heedful.optimizing.knapsack import knapsack
from heedful.optimizing.level import Level, cost_of, damage_of


def space(seed, *, sites=4, levels=4, dependence=1.0):
    """A table, and the value of every candidate."""
    draw = random.Random(seed)
    table = []
    for _ in range(sites):
        costs = sorted((draw.uniform(0.1, 3) for _ in range(levels)), reverse=True)
        damages = [0.0, *sorted(draw.uniform(0, 2) for _ in range(levels - 1))]
        table.append(
            [
                Level(label="", cost=cost, damage=damage)
                for cost, damage in zip(costs, damages, strict=True)
            ]
        )
    pairs = {}
    values = {}
    for candidate in itertools.product(range(levels), repeat=sites):
        chosen = [(site, index) for site, index in enumerate(candidate) if index]
        both = itertools.combinations(chosen, 2)
        terms = (pairs.setdefault(pair, draw.uniform(-1, 2)) for pair in both)
        values[candidate] = 3.0 + damage_of(candidate, table) + dependence * sum(terms)
    return table, values


@pytest.mark.parametrize("tolerated", [3.0, 4.5, 6.0, 99.0])
@pytest.mark.parametrize("seed", range(4))
def test_with_time_enough_is_the_best_of_all(seed, tolerated):
    table, values = space(seed)
    found = cheapest(table, values.__getitem__, tolerated=tolerated, evaluations=999, seed=seed)
    costs = {candidate: cost_of(candidate, table) for candidate in values}
    best = min(costs[candidate] for candidate, value in values.items() if value <= tolerated)
    slack = STEP * (costs[0, 0, 0, 0] - min(costs.values()))
    assert costs[found.candidate] <= best + slack
    assert found.value == values[found.candidate] <= tolerated


@pytest.mark.parametrize("seed", range(6))
def test_few_evaluations_are_enough_where_sites_do_not_depend(seed):
    table, values = space(seed, sites=5, dependence=0.0)
    found = cheapest(table, values.__getitem__, tolerated=5.0, evaluations=11, seed=seed)
    costs = {candidate: cost_of(candidate, table) for candidate in values}
    best = min(costs[candidate] for candidate, value in values.items() if value <= 5.0)
    top, low = costs[(0,) * 5], min(costs.values())
    assert costs[found.candidate] <= best + 0.01 * (top - low)
    for candidate, _ in found.history[1:4]:
        assert knapsack(table, costs[candidate]) == candidate


@pytest.mark.parametrize("evaluations", [1, 2, 9, 60])
def test_keeps_to_the_number_of_evaluations(evaluations):
    table, values = space(8, sites=5)
    calls, told = [], []

    def evaluate(candidate):
        calls.append(candidate)
        return values[candidate]

    found = cheapest(
        table,
        evaluate,
        tolerated=5.0,
        evaluations=evaluations,
        seed=2,
        on_candidate=lambda *event: told.append(event),
    )
    assert len(calls) == len(set(calls)) == found.evaluations == evaluations
    assert calls[0] == (0,) * 5
    assert found.history == tuple((candidate, values[candidate]) for candidate in calls)
    assert [event[:2] for event in told] == list(found.history)
    fine = [candidate for candidate in calls if values[candidate] <= 5.0]
    assert found.candidate == min(fine, key=lambda candidate: cost_of(candidate, table))
    best = [cost_of(candidate, table) for candidate, _, is_best in told if is_best]
    assert best == sorted(best, reverse=True)
    assert best[-1] == cost_of(found.candidate, table)


def test_a_seed_makes_the_same_search():
    table, values = space(9, sites=5)

    def search(seed, offspring=4):
        return cheapest(
            table,
            values.__getitem__,
            tolerated=5.0,
            evaluations=80,
            seed=seed,
            offspring=offspring,
        )

    assert search(1) == search(1)
    assert search(1).history != search(2).history
    assert search(1).history != search(1, offspring=1).history


def test_the_original_where_nothing_else_will_do():
    table, _ = space(1)
    found = cheapest(
        table,
        lambda candidate: float(any(candidate)),
        tolerated=0.5,
        evaluations=70,
        seed=1,
    )
    assert (found.candidate, found.value, found.evaluations) == ((0, 0, 0, 0), 0.0, 70)


def test_ends_where_nothing_can_be_saved():
    table = [[Level(label="0", cost=2.0, damage=0.0), Level(label="1", cost=3.0, damage=-1.0)]] * 3
    found = cheapest(table, lambda _: 0.0, tolerated=0.0, evaluations=9, seed=1)
    assert (found.candidate, found.evaluations) == ((0, 0, 0), 1)


def test_stops_looking_at_a_limit_once_it_is_met():
    table, _ = space(1, sites=6)
    found = cheapest(table, lambda _: 1.0, tolerated=1.0, evaluations=900, seed=1)
    least = math.fsum(levels[-1].cost for levels in table)
    assert cost_of(found.candidate, table) == pytest.approx(least, abs=STEP * 20)
    assert found.evaluations < 30


def test_asks_for_twice_as_much_at_each_round(monkeypatch):
    table, values = space(3, sites=5)
    asked = []

    def recorded(tried, **settings):
        asked.append((settings["patience"], settings["enough"]))
        improve(tried, **settings)

    monkeypatch.setattr(module, "improve", recorded)
    found = cheapest(table, values.__getitem__, tolerated=5.0, evaluations=200, seed=1)
    assert {enough for _, enough in asked} == {5.0}
    highest = list(itertools.accumulate((patience for patience, _ in asked), max))
    assert [patience for patience, _ in itertools.groupby(highest)][-3:] == [4, 8, 16]
    assert found.evaluations == 200


def test_an_interrupt_passes_and_the_best_was_told():
    table, values = space(2, sites=5)
    told = []

    def interrupted(candidate):
        if len(told) == 20:
            raise KeyboardInterrupt
        return values[candidate]

    with pytest.raises(KeyboardInterrupt):
        cheapest(
            table,
            interrupted,
            tolerated=5.0,
            evaluations=80,
            seed=1,
            on_candidate=lambda *event: told.append(event),
        )
    best = [candidate for candidate, _, is_best in told if is_best][-1]
    fine = [cost_of(candidate, table) for candidate, value, _ in told if value <= 5.0]
    assert cost_of(best, table) == min(fine)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"tolerated": 2.5},
            "tolerated must be at least the value of the original, got tolerated=2.5, value=3.0",
        ),
        (
            {"tolerated": math.nan},
            "tolerated must be at least the value of the original, got tolerated=nan, value=3.0",
        ),
        ({"evaluations": 0}, "evaluations must be at least 1, got 0"),
        ({"offspring": 0}, "offspring must be at least 1, got 0"),
        ({"table": [[]]}, "each site must have at least one level, got none at site 0"),
    ],
)
def test_rejects(changes, message):
    table, values = space(1)
    call = {
        "table": table,
        "evaluate": values.__getitem__,
        "tolerated": 4.0,
        "evaluations": 50,
        "seed": 1,
    }
    with pytest.raises(ConfigError, match=re.escape(message)):
        cheapest(**(call | changes))
