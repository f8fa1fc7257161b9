"""All looks together err no more often than one was allowed to."""

import math
from itertools import pairwise

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.metrics.metric import mean_metric, per_example
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.looks import ERROR, confidence_of_look
from heedful.optimizing.verdict import judge


def test_the_errors_of_all_looks_add_up_to_one_error():
    errors = [1 - confidence_of_look(number) for number in range(1, 20_001)]
    assert math.fsum(errors) == pytest.approx(ERROR, rel=1e-4)
    assert math.fsum(errors) < ERROR


def test_each_look_is_surer_than_the_one_before():
    found = [confidence_of_look(number) for number in range(1, 50)]
    assert found[:3] == pytest.approx([0.96, 0.995, 1 - 0.01 / 6])
    assert all(one < two < 1 for one, two in pairwise(found))


@pytest.mark.parametrize("number", [0, -1])
def test_there_is_no_look_before_the_first(number):
    with pytest.raises(ConfigError, match=f"the number of a look must be at least 1, got {number}"):
        confidence_of_look(number)


def test_each_further_look_widens_the_bound():
    random = np.random.default_rng(3)
    before = per_example(random.normal(70, 15, 300))
    after = before - per_example(random.normal(0.3, 3, 300)) * [1.0, 0.0]
    found = [
        judge(
            before,
            after,
            metric=mean_metric("points", span=100.0),
            budget=parse_lose("points 9"),
            confidence=confidence_of_look(number),
        )
        for number in (1, 2, 3, 8)
    ]
    bounds = [verdict.bound for verdict in found]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == len(bounds)
    assert "with 99.5 % confidence" in found[1].reason
    assert [verdict.resamples for verdict in found] == [2_000, 4_000, 12_000, 100_000]


def test_who_looks_again_until_it_is_accepted_errs_no_more_often():
    """Twelve looks at 60 tests; each candidate lies exactly at the budget, and each is another."""
    metric, budget = mean_metric("right", span=1.0), parse_lose("right 0.1")
    random = np.random.default_rng(11)
    ever = dict.fromkeys(("the same for each", "wider"), 0)
    for _ in range(60):
        before = per_example(np.ones(60))
        tried = [per_example((random.random(60) > 0.1).astype(float)) for _ in range(4)]
        for way in ever:
            ever[way] += any(
                judge(
                    before,
                    after,
                    metric=metric,
                    budget=budget,
                    confidence=confidence_of_look(number) if way == "wider" else 0.95,
                ).accepted
                for number, after in enumerate(tried, 1)
            )
    assert ever["wider"] <= 6 < ever["the same for each"] + 4  # 3 are expected, and 11
