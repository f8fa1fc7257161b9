"""Sums do not depend on the order of sites, and nothing unusable passes."""

import dataclasses
import itertools
import math
import random
import re

import pytest

from heedful.errors import ConfigError
from heedful.optimizing.compression_levels import (
    CompressionLevel,
    check_table,
    cost_of,
    divergence_of,
    pareto,
)


def level(cost, divergence=0.0):
    return CompressionLevel(label="4 heads", cost=cost, divergence=divergence)


TABLE = [[level(5.0), level(3.0, 0.25)], [level(7.0), level(2.0, 0.5), level(0.0, 4.0)]]


def test_sums_what_is_chosen():
    assert (cost_of((1, 2), TABLE), divergence_of((1, 2), TABLE)) == (3.0, 4.25)
    assert (cost_of((0, 1), TABLE), divergence_of((0, 1), TABLE)) == (7.0, 0.5)


def test_order_of_sites_does_not_matter():
    draw = random.Random(1)
    levels = [level(draw.random() * 10**place, draw.gauss(0, 1)) for place in range(7)]
    sums = {
        (cost_of((0,) * 7, sites), divergence_of((0,) * 7, sites))
        for order in itertools.permutations(levels)
        for sites in [[[one] for one in order]]
    }
    assert len(sums) == 1


@pytest.mark.parametrize("seed", range(20))
def test_pareto_keeps_what_none_beats(seed):
    draw = random.Random(seed)
    levels = [level(draw.randrange(6), draw.randrange(-3, 6)) for _ in range(12)]

    def beats(one, other):
        no_worse = one.cost <= other.cost and one.divergence <= other.divergence
        return no_worse and (one.cost < other.cost or one.divergence < other.divergence)

    kept = pareto(levels)
    assert [levels[i].cost for i in kept] == sorted(levels[i].cost for i in kept)
    for index, one in enumerate(levels):
        first = levels.index(one) == index
        assert (index in kept) == (first and not any(beats(other, one) for other in levels))


def test_a_level_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        level(1.0).cost = 2.0


@pytest.mark.parametrize(
    "cost, divergence, message",
    [
        (-0.5, 0.0, "cost must be finite and at least 0, got -0.5 for '4 heads'"),
        (math.inf, 0.0, "cost must be finite and at least 0, got inf for '4 heads'"),
        (math.nan, 0.0, "cost must be finite and at least 0, got nan for '4 heads'"),
        (1.0, math.nan, "divergence must be finite, got nan for '4 heads'"),
        (1.0, -math.inf, "divergence must be finite, got -inf for '4 heads'"),
    ],
)
def test_rejects_numbers(cost, divergence, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        level(cost, divergence)


@pytest.mark.parametrize("total", [cost_of, divergence_of])
@pytest.mark.parametrize(
    "assignment, message",
    [
        ((1,), "candidate must choose one level for each of 2 sites, got 1"),
        ((1, 3), "candidate must choose among 3 levels at site 1, got 3"),
        ((-1, 0), "candidate must choose among 2 levels at site 0, got -1"),
    ],
)
def test_rejects_candidates(total, assignment, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        total(assignment, TABLE)


@pytest.mark.parametrize(
    "table, message",
    [
        ([], "table must hold at least one site, got none"),
        ([TABLE[0], []], "each site must have at least one level, got none at site 1"),
        (
            [TABLE[1], [level(3.0, 0.25)]],
            "level 0 must leave its site as it is, at divergence 0, got 0.25 at site 1",
        ),
    ],
)
def test_rejects_tables(table, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_table(table)


def test_accepts_a_table():
    check_table(TABLE)
