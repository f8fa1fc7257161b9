"""Everything within the limit, nothing twice, the promising first, and the same for a seed."""

import itertools
import math
import random
import re
from collections import Counter

import pytest

from heedful.errors import ConfigError
from heedful.optimizing.compression_levels import CompressionLevel, cost_of, divergence_of
from heedful.optimizing.evolve import Archive, evolve, improve
from heedful.optimizing.knapsack import knapsack


def space(seed, *, sites=4, levels=4):
    """A table, and values that no sum of divergences explains."""
    draw = random.Random(seed)
    table = [
        [
            # tenths, whose sums round, at a limit that sums of others reach exactly
            CompressionLevel(
                label=f"{k}", cost=(levels - k) / 10 + i, divergence=k * draw.uniform(0.5, 1.5)
            )
            for k in range(levels)
        ]
        for i in range(sites)
    ]
    changes = itertools.product(range(sites), range(1, levels))
    pairs = {pair: draw.uniform(-2, 2) for pair in itertools.combinations(changes, 2)}

    def evaluate(assignment):
        chosen = [(site, index) for site, index in enumerate(assignment) if index]
        return divergence_of(assignment, table) + sum(
            pairs[pair] for pair in itertools.combinations(chosen, 2)
        )

    return table, evaluate


def fitting(table, limit):
    every = itertools.product(*(range(len(levels)) for levels in table))
    return {assignment for assignment in every if cost_of(assignment, table) <= limit}


def limit_of(table, seed):
    """The cost of some candidate, so that several just fit."""
    draw = random.Random(seed)
    return cost_of(tuple(draw.randrange(1, len(levels)) for levels in table), table)


@pytest.mark.parametrize("seed", range(10))
def test_with_time_enough_sees_all_that_fits(seed):
    table, evaluate = space(seed)
    limit = limit_of(table, seed)
    start = knapsack(table, limit)
    found = evolve(start, table, evaluate, limit=limit, evaluations=999, seed=seed)
    within = fitting(table, limit)
    assert {assignment for assignment, _ in found.history} == within
    assert found.evaluations == len(within)  # stopped before 999, and saw nothing twice
    assert found.value == evaluate(found.assignment) == min(map(evaluate, within))


@pytest.mark.parametrize("evaluations", [1, 2, 7, 30])
def test_keeps_to_the_number_of_evaluations(evaluations):
    table, evaluate = space(3, sites=6)
    limit, calls = limit_of(table, 3), []
    start = knapsack(table, limit)

    def counted(assignment):
        calls.append(assignment)
        return evaluate(assignment)

    found = evolve(start, table, counted, limit=limit, evaluations=evaluations, seed=5)
    assert len(calls) == len(set(calls)) == found.evaluations == evaluations
    assert found.history == tuple((assignment, evaluate(assignment)) for assignment in calls)
    assert calls[0] == start
    assert all(cost_of(assignment, table) <= limit for assignment in calls)
    assert (found.value, found.assignment) == min((evaluate(c), c) for c in calls)


def test_a_seed_makes_the_same_search():
    table, evaluate = space(4, sites=6)
    limit = limit_of(table, 4)
    start = knapsack(table, limit)

    def search(seed, offspring=4):
        settings = {"limit": limit, "evaluations": 40, "seed": seed, "offspring": offspring}
        return evolve(start, table, evaluate, **settings)

    assert search(1) == search(1)
    assert search(1).history != search(2).history
    assert search(1).history != search(1, offspring=9).history


def test_corrects_what_damages_alone_get_wrong():
    better = 0
    for seed in range(10):
        table, evaluate = space(seed, sites=7)
        limit = limit_of(table, seed)
        start = knapsack(table, limit)
        found = evolve(start, table, evaluate, limit=limit, evaluations=60, seed=seed)
        assert found.value <= evaluate(start)
        better += found.value < evaluate(start) - 0.5
    assert better >= 8


def second_candidates(table, start, limit, seeds):
    return Counter(
        evolve(start, table, lambda _: 0.0, limit=limit, evaluations=2, seed=seed).history[1][0]
        for seed in range(seeds)
    )


def test_the_promising_come_first_but_not_always():
    table, _ = space(6)
    limit = limit_of(table, 6)
    start = knapsack(table, limit)
    drawn = second_candidates(table, start, limit, 400)

    def changed(assignment):
        return sum(a != b for a, b in zip(start, assignment, strict=True))

    def is_near(assignment):
        """One site changed, or one cheaper and another dearer."""
        costs = [levels[index].cost for levels, index in zip(table, assignment, strict=True)]
        before = [levels[index].cost for levels, index in zip(table, start, strict=True)]
        signs = sorted((a > b) - (a < b) for a, b in zip(costs, before, strict=True) if a != b)
        return signs in ([1], [-1], [-1, 1])

    near = sorted(
        (assignment for assignment in fitting(table, limit) if is_near(assignment)),
        key=lambda assignment: divergence_of(assignment, table),
    )
    (first, often), (_, less) = drawn.most_common(2)
    assert divergence_of(first, table) == divergence_of(near[0], table)
    assert often > 1.3 * less
    assert len(drawn) > len(near) / 2  # and the others have their turn
    far = sum(times for assignment, times in drawn.items() if changed(assignment) > 2)
    assert 0 < far < 30  # now and then two changes at once


def test_goes_on_with_the_best():
    """To change 12 sites one by one, each time for the better, takes few of 4,096 candidates."""
    pair = [
        CompressionLevel(label="0", cost=1.0, divergence=0.0),
        CompressionLevel(label="1", cost=1.0, divergence=0.0),
    ]
    found = evolve(
        (0,) * 12, [pair] * 12, lambda c: 12 - sum(c), limit=99.0, evaluations=120, seed=1
    )
    assert (found.assignment, found.value) == ((1,) * 12, 0)


def test_of_equals_the_first_is_the_best_and_what_costs_less_is_better():
    table = [
        [
            CompressionLevel(label=f"{index}", cost=cost, divergence=0.0)
            for index, cost in enumerate((1, 1, 1, 2))
        ]
    ]
    for seed in range(9):
        told = []
        evolve(
            (3,),
            table,
            lambda _: 4.0,
            limit=2.0,
            evaluations=9,
            seed=seed,
            on_assignment=lambda *event, told=told: told.append(event[2]),
        )
        assert told == [True, True, False, False]


@pytest.mark.parametrize("seed", range(40))
def test_leaves_nothing_out_where_little_fits(seed):
    table = [
        [
            CompressionLevel(label="0", cost=2.0, divergence=0.0),
            CompressionLevel(label="1", cost=1.0, divergence=1.0),
        ],
        [
            CompressionLevel(label="0", cost=5.0, divergence=0.0),
            CompressionLevel(label="1", cost=4.0, divergence=3.0),
        ],
    ]
    for limit, fit in ((6.0, {(1, 1), (0, 1), (1, 0)}), (5.0, {(1, 1)})):
        found = evolve((1, 1), table, sum, limit=limit, evaluations=9, seed=seed)
        assert {assignment for assignment, _ in found.history} == fit
    found = evolve((1,), table[:1], sum, limit=6.0, evaluations=9, seed=seed)
    assert {assignment for assignment, _ in found.history} == {(0,), (1,)}


@pytest.mark.parametrize("seed", range(4))
def test_tells_what_it_tries_and_the_best_so_far(seed):
    table, evaluate = space(seed, sites=5)
    limit, told = limit_of(table, seed), []
    found = evolve(
        knapsack(table, limit),
        table,
        evaluate,
        limit=limit,
        evaluations=50,
        seed=seed,
        on_assignment=lambda *event: told.append(event),
    )
    assert tuple((assignment, value) for assignment, value, _ in told) == found.history
    lowest = (math.inf, math.inf)
    for assignment, value, is_best in told:
        assert is_best == ((value, cost_of(assignment, table)) < lowest)
        lowest = min(lowest, (value, cost_of(assignment, table)))
    assert [one for one in told if one[2]][-1][:2] == (found.assignment, found.value)


def test_an_interrupt_passes_and_the_best_was_told():
    table, evaluate = space(2, sites=5)
    limit, told = limit_of(table, 2), []

    def interrupted(assignment):
        if len(told) == 20:
            raise KeyboardInterrupt
        return evaluate(assignment)

    with pytest.raises(KeyboardInterrupt):
        evolve(
            knapsack(table, limit),
            table,
            interrupted,
            limit=limit,
            evaluations=50,
            seed=2,
            on_assignment=lambda *event: told.append(event),
        )
    best = [event for event in told if event[2]][-1]
    assert len(told) == 20
    assert best[1] == min(value for _, value, _ in told)


def test_what_is_not_a_number_is_the_worst():
    table, evaluate = space(1)
    limit = limit_of(table, 1)
    start = knapsack(table, limit)
    found = evolve(
        start,
        table,
        lambda assignment: math.nan if assignment == start else evaluate(assignment),
        limit=limit,
        evaluations=20,
        seed=1,
    )
    assert found.history[0] == (start, math.inf)
    assert found.assignment != start
    assert math.isfinite(found.value)


@pytest.mark.parametrize(
    "patience, enough, evaluated", [(5, -99.0, 5), (99, 1.5, 1), (0, -99.0, 0)]
)
def test_improve_stops_at_enough_or_out_of_patience(patience, enough, evaluated):
    table, _ = space(1, sites=6)
    start = (1,) * 6
    archive = Archive(
        start,
        table,
        lambda assignment: 2.0 if assignment == start else 1.0,
        evaluations=500,
        rank=lambda cost, value: (value, cost),
    )
    improve(archive, limit=99.0, patience=patience, draw=random.Random(1), enough=enough)
    assert 499 - archive.left == evaluated
    improve(archive, limit=99.0, patience=patience, draw=random.Random(1), enough=2.0)
    assert 499 - archive.left == evaluated  # enough already


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"limit": 5.5}, "start must cost no more than limit, got cost=6.4, limit=5.5"),
        ({"limit": math.nan}, "start must cost no more than limit, got cost=6.4, limit=nan"),
        ({"evaluations": 0}, "evaluations must be at least 1, got 0"),
        ({"offspring": -2}, "offspring must be at least 1, got -2"),
        ({"start": (2, 2, 2)}, "candidate must choose one level for each of 4 sites, got 3"),
        ({"table": []}, "table must hold at least one site, got none"),
    ],
)
def test_rejects(changes, message):
    table, evaluate = space(1)
    call = {
        "start": (3, 3, 3, 3),
        "table": table,
        "evaluate": evaluate,
        "limit": 7.0,
        "evaluations": 9,
        "seed": 1,
    }
    with pytest.raises(ConfigError, match=re.escape(message)):
        evolve(**(call | changes))


def test_ends_at_once_where_there_is_no_choice():
    table = [[CompressionLevel(label="as it is", cost=1.0, divergence=0.0)]] * 3
    found = evolve((0, 0, 0), table, lambda _: 2.0, limit=3.0, evaluations=9, seed=1)
    assert found.history == (((0, 0, 0), 2.0),)
