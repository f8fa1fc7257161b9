"""How much time is left, by a clock that the tests turn."""

import pytest

from heedful.optimizing.clock import Clock, TimeUp


class Now:
    seconds = 7.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def now():
    return Now()


def test_what_is_kept_is_not_left(now):
    clock = Clock(2.0, now=now)
    now.seconds += 30
    assert (clock.spent, clock.left, clock.limited) == (30.0, 90.0, True)
    clock.kept = 50.0
    assert clock.left == 40.0


def test_without_minutes_there_is_always_time(now):
    clock = Clock(now=now)
    now.seconds = 1e9
    clock.check("anything")
    assert not clock.limited
    clock.took["step"] = 1e9
    assert clock.times(3, "step", share=0.1) == 3


def test_time_is_up_before_what_no_longer_fits(now):
    clock = Clock(1.0, now=now)
    with clock.watch("dev"):
        now.seconds += 25
    with clock.watch("trial"):
        now.seconds += 5
    assert clock.took == {"dev": 25.0, "trial": 5.0}
    clock.check("dev", "trial", "never done yet")
    with pytest.raises(TimeUp):
        clock.check("dev", "dev")
    now.seconds += 30
    with pytest.raises(TimeUp):
        clock.check()


@pytest.mark.parametrize("took, times", [(0.0, 50), (0.1, 50), (1.0, 30), (7.0, 4), (31.0, 0)])
def test_as_often_as_fits_into_a_share_of_what_is_left(now, took, times):
    clock = Clock(1.0, now=now)
    clock.took["step"] = took
    assert clock.times(50, "step", share=0.5) == times
    now.seconds += 61
    assert clock.times(50, "step", share=0.5) == (0 if took else 50)


def test_only_a_search_is_told_that_time_is_up(now):
    clock = Clock(1.0, now=now)
    assert clock.limit == 60.0
    now.seconds += 61
    clock.ask()
    with pytest.raises(TimeUp), clock.searching():
        clock.ask()
    clock.ask()  # what is left of it is the proof
