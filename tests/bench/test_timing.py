"""Calls are timed in turns, and compared round by round."""

import pytest

from heedful.bench.timing import Ratio, Times, in_turns, ratio


def test_calls_take_turns_after_a_warm_up():
    called = []
    calls = {"a": lambda: called.append("a"), "b": lambda: called.append("b")}
    times = in_turns(calls, rounds=3, warm_up=2)
    assert called == ["a", "b"] * 2 + ["a", "b", "b", "a", "a", "b"]
    assert {name: len(t.rounds) for name, t in times.items()} == {"a": 3, "b": 3}
    assert all(second >= 0 for t in times.values() for second in t.rounds)


def test_ratio_pairs_the_rounds():
    slow, fast = Times((2.0, 8.0, 6.0, 4.0, 10.0)), Times((1.0, 2.0, 1.0, 4.0, 5.0))
    found = ratio(slow, fast)  # 2, 4, 6, 1, 2
    assert found == Ratio(median=2.0, low=2.0, high=4.0)
    assert str(found) == "2.00x (2.00 to 4.00)"
    assert slow.median == 6.0


@pytest.mark.parametrize("rounds", [1, 2])
def test_few_rounds_have_a_ratio_too(rounds):
    found = ratio(Times((3.0,) * rounds), Times((2.0,) * rounds))
    assert (found.low, found.median, found.high) == (1.5, 1.5, 1.5)
