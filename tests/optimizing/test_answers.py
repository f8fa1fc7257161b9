"""Of all that was judged, what may become the answer is kept, and nothing else."""

import pytest
from torch import nn

from heedful.allocation.moves import KeepHeads, LowPrecision
from heedful.allocation.plan import Plan
from heedful.optimizing.answers import Answers, is_free
from heedful.optimizing.candidate import Candidate

CUT = Plan(moves={"site": (KeepHeads(heads=(0,)),)})
FREE = Plan(linear="int8")


def candidate(share, slack, plan=CUT):
    return Candidate(plan=plan, model=nn.Identity(), share=share, divergence=0.0, slack=slack)


@pytest.fixture
def answers():
    return Answers()


def test_the_cheapest_comes_first_and_what_loses_least_is_kept_too(answers):
    tried = [candidate(0.9, 0.1), candidate(0.5, 0.2), candidate(0.7, 0.9), candidate(0.6, 0.3)]
    for each in tried:
        answers.add(each)
    assert answers.in_order == [tried[1], tried[2]]


def test_what_is_free_is_kept_whatever_else_there_is(answers):
    free = [candidate(0.8, 0.3, FREE), candidate(0.85, 0.2, Plan(linear="bf16"))]
    cut = [candidate(0.4, 0.1), candidate(0.9, 0.5)]
    for each in (*free, *cut):
        answers.add(each)
    assert answers.in_order == [cut[0], *free, cut[1]]


@pytest.mark.parametrize("share, slack", [(0.5, -0.1), (1.0, 0.5), (1.2, 0.5)])
def test_what_loses_too_much_or_saves_nothing_is_no_answer(answers, share, slack):
    answers.add(candidate(share, slack))
    assert answers.in_order == []


def test_what_was_not_judged_is_kept_where_there_is_no_other(answers):
    unknown = candidate(0.7, float("-inf"), FREE)
    answers.only(unknown)
    assert answers.in_order == [unknown]
    judged = candidate(0.9, 0.1)
    other = Answers()
    other.add(judged)
    other.only(unknown)
    assert other.in_order == [judged]


def test_the_same_one_counts_once(answers):
    one = candidate(0.5, 0.1)
    answers.add(one)
    answers.add(one)
    assert answers.in_order == [one]


@pytest.mark.parametrize(
    "plan, free",
    [
        (FREE, True),
        (Plan(linear="bf16", moves={"site": (LowPrecision(precision="int8"),)}), True),
        (CUT, False),
        (Plan(linear="int8", moves=CUT.moves), False),
    ],
)
def test_only_fewer_bits_are_free(plan, free):
    assert is_free(plan) == free
