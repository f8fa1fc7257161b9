"""While a search runs, every pass of its problem asks the clock; before and behind it none does."""

import pytest

from heedful.optimizing.asked import asked
from heedful.optimizing.clock import Clock, TimeUp


class Now:
    seconds = 0.0

    def __call__(self):
        return self.seconds


PASSES = {
    "outputs": lambda problem: problem.outputs(problem.model, problem.calibration[0]),
    "work": lambda problem: problem.work(problem.model),
    "dev": lambda problem: problem.statistics(problem.model, "dev"),
    "test": lambda problem: problem.statistics(problem.model, "test"),
    "runs": lambda problem: problem.runs(problem.model)[0](),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_of_a_search_ends_it_when_time_is_up(kit, name):
    clock = Clock(1.0, now=(now := Now()))
    problem, run = asked(kit.problem(), clock), PASSES[name]
    run(problem)
    now.seconds = 61.0
    run(problem)
    with clock.searching(), pytest.raises(TimeUp):
        run(problem)
    run(problem)


@pytest.mark.parametrize("name", ["work", "dev"])
def test_what_takes_long_is_begun_where_it_fits(kit, name):
    clock = Clock(1.0, now=(now := Now()))
    problem, run = asked(kit.problem(), clock), PASSES[name]
    run(problem)
    assert clock.took[name] == 0.0
    clock.took[name], now.seconds = 40.0, 30.0
    with clock.searching(), pytest.raises(TimeUp):
        run(problem)
    with clock.searching():
        PASSES["outputs"](problem)


def test_nothing_else_changes(kit):
    plain = kit.problem()
    problem = asked(plain, Clock())
    for name in ("work", "outputs", "dev"):
        one, other = PASSES[name](plain), PASSES[name](problem)
        assert one is None or (one == other).all()
    assert problem.model is plain.model
