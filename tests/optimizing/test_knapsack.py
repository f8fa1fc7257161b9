"""The best of all candidates, found by looking at each; and what large tables leave of that."""

import itertools
import math
import random

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.optimizing import knapsack as module
from heedful.optimizing.compression_levels import CompressionLevel, cost_of, divergence_of
from heedful.optimizing.knapsack import knapsack


def table_of(seed, *, sites=4, levels=5, whole=False):
    """Levels in no order; sometimes one with a gain, or one that another beats."""
    draw = random.Random(seed)

    def number(low, high):
        return draw.randint(low, high) if whole else draw.uniform(low, high)

    return [
        [
            CompressionLevel(
                label=f"{place}", cost=number(0, 9), divergence=number(-2, 9) if place else 0.0
            )
            for place in range(draw.randint(1, levels))
        ]
        for _ in range(sites)
    ]


def all_of(table):
    return list(itertools.product(*(range(len(levels)) for levels in table)))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_is_the_best_of_all(seed, whole):
    table = table_of(seed, whole=whole)
    assignments = all_of(table)
    costs = [cost_of(assignment, table) for assignment in assignments]
    for limit in random.Random(seed).sample(costs, min(12, len(costs))):
        fitting = [c for c, cost in zip(assignments, costs, strict=True) if cost <= limit]
        best = min((divergence_of(c, table), cost_of(c, table)) for c in fitting)
        chosen = knapsack(table, limit)
        assert chosen in fitting
        assert divergence_of(chosen, table) == pytest.approx(best[0], abs=1e-12)
        if whole:  # no rounding, so equal divergences are equal
            assert (divergence_of(chosen, table), cost_of(chosen, table)) == best


@pytest.mark.parametrize("seed", range(12))
def test_knows_what_just_fits(seed):
    table = table_of(seed)
    cheapest = min(cost_of(assignment, table) for assignment in all_of(table))
    assert cost_of(knapsack(table, cheapest), table) == cheapest
    assert knapsack(table, math.nextafter(cheapest, -1)) is None
    assert knapsack(table, -math.inf) is None
    least = [min(levels, key=lambda level: level.divergence).divergence for levels in table]
    assert divergence_of(knapsack(table, math.inf), table) == math.fsum(least)


def test_sites_that_cost_nothing():
    table = [
        [
            CompressionLevel(label="0", cost=0.0, divergence=0.0),
            CompressionLevel(label="1", cost=0.0, divergence=-1.0),
        ]
    ] * 3
    assert knapsack(table, 0.0) == (1, 1, 1)
    assert knapsack(table, -1.0) is None


def long_fronts(seed, *, sites=10, levels=8):
    """Levels of which none beats another, so that many partial candidates remain."""
    draw = random.Random(seed)
    return [
        [
            CompressionLevel(
                label=f"{place}",
                cost=draw.uniform(0.9, 1.1) * (levels - place),
                divergence=draw.uniform(0.9, 1.1) * place**1.5,
            )
            for place in range(levels)
        ]
        for _ in range(sites)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_few_states_hold_the_limit_and_lose_little(seed, monkeypatch):
    table, states, lost = long_fronts(seed), 60, 0
    low, high = (math.fsum(pick(x.cost for x in levels) for levels in table) for pick in (min, max))
    # at each site, what is dropped is replaced by what costs up to one slice more
    slack = len(table) * (high - low) / (states - 1)
    assert knapsack(table, low) == (7,) * 10
    for share in (0.25, 0.5, 0.75, 1.0):
        limit = low + share * (high - low)
        exact, tighter = (
            divergence_of(knapsack(table, at), table) for at in (limit, limit - slack)
        )
        with monkeypatch.context() as patch:
            patch.setattr(module, "STATES", states)
            assert knapsack(table, low) == (7,) * 10
            chosen = knapsack(table, limit)
        assert cost_of(chosen, table) <= limit
        assert exact <= divergence_of(chosen, table) <= tighter
        lost += exact < divergence_of(chosen, table)
    assert lost  # or nothing was dropped, and nothing tested


def test_thinning_keeps_the_cheapest_and_the_last_of_each_slice(monkeypatch):
    monkeypatch.setattr(module, "STATES", 6)
    costs = np.array([30, 10, 55, 20, 40, 11, 34, 12, 32, 56])
    order = costs.argsort()
    kept = module._thin(order, costs)  # slices of 10, from 10 on
    assert costs[kept].tolist() == [10, 12, 20, 34, 40, 56]
    monkeypatch.setattr(module, "STATES", 10)
    assert module._thin(order, costs) is order


def test_what_cannot_end_within_the_limit_is_not_kept(monkeypatch):
    sizes = []
    thin = module._thin
    monkeypatch.setattr(module, "_thin", lambda *call: sizes.append(len(call[0])) or thin(*call))
    table = long_fronts(1)
    knapsack(table, math.fsum(levels[-1].cost for levels in table))
    assert sizes == [1] * 10


def test_rejects():
    with pytest.raises(ConfigError, match="limit must be a number, got nan"):
        knapsack(table_of(1), math.nan)
    with pytest.raises(ConfigError, match="table must hold at least one site, got none"):
        knapsack([], 3.0)
