import json
import math

import pytest

from heedful.tasks.catalog import load_config
from heedful.tasks.translation.task import Translation
from heedful.tuning.folder import run_folder
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.results import Results
from heedful.tuning.trial import Trial

FAST = ((0.2, 2.0), (1.0, 1.0))
SLOW = ((0.2, 5.0), (1.0, 1.0))


def trial(number, state, quality=None, cost=None, **more):
    params, feasible = {"model.heads": number}, {"kept": True, "missed": False}[state]
    about = {"params": params, "state": "complete", "feasible": feasible}
    return Trial(number=number, quality=quality, cost=cost, **about, **more)


@pytest.fixture
def results(tmp_path, small):
    def make(*trials, cost="macs", task=Translation):
        (tmp_path / "trials").mkdir(exist_ok=True)
        for one in trials:
            (run_folder(tmp_path, one.number) / "checkpoints").mkdir(parents=True, exist_ok=True)
        goal = Goal(keep=parse_keep("chrf >= 50"), cost=cost)
        return Results(small, goal, tmp_path, list(trials), task=task)

    return make


def test_nothing_is_worse_than_everything(results):
    empty = results()
    assert (empty.best, empty.best_cost, empty.finalists) == (None, math.inf, [])
    assert not empty.too_slow(((0.5, 99.0),))
    empty.write()
    assert json.loads((empty.folder / "trials.json").read_text())["trials"] == []


def test_the_cheapest_is_best_whoever_has_trained_it(results):
    found = results(trial(2, "kept", 60.0, 7.0))
    others = trial(1, "missed", 40.0, 1.0), trial(3, "kept", 60.0, 5.0)
    found.take([others[0], *found.trials, others[1]])
    assert (found.best.number, found.best_cost) == (3, 5.0)


@pytest.mark.parametrize("cost, count", [("macs", 1), ("parameters", 1), ("latency", 3)])
def test_weights_of_finalists_and_of_running_trials_stay(results, weights, cost, count):
    kept = [trial(number, "kept", 60.0, float(number)) for number in (1, 2, 3, 4)]
    found = results(*kept, trial(5, "missed", 40.0, 0.5), trial(6, "kept", 60.0, 9.0), cost=cost)
    for number in (7, 8):
        (run_folder(found.folder, number) / "checkpoints").mkdir(parents=True)
    found.write(running=[8])
    assert weights(found.folder) == [*range(1, count + 1), 8]
    assert not run_folder(found.folder, 7).exists()
    assert load_config(found.folder / "best.toml").model.heads == 1


def test_what_was_measured_in_turns_decides_between_finalists(results):
    kept = [trial(number, "kept", 60.0, float(number)) for number in (1, 2, 3, 4)]
    found = results(*kept, cost="latency")
    found.remeasure({1: 9.0, 2: 8.0, 3: 8.5})
    assert found.best.number == 2
    assert [one.number for one in found.finalists] == [1, 2, 3]
    assert [one.remeasured for one in found.trials] == [9.0, 8.0, 8.5, None]


def test_slow_is_slower_than_the_slowest_that_made_it_else_than_the_nearest(results):
    own = ((0.2, 3.0), (0.4, 3.0))
    quick, slow = (trial(n, "kept", 60.0, 1.0, curve=c) for n, c in ((1, FAST), (2, SLOW)))
    near, far = (trial(n, "missed", q, 1.0, curve=c) for n, q, c in ((3, 49, FAST), (4, 1, SLOW)))
    assert results(quick).too_slow(own)
    assert not results(slow).too_slow(own)
    assert not results(quick, slow, near).too_slow(own)
    assert results(near, far).too_slow(own)
    assert not results(far).too_slow(own)


def test_slow_is_a_lower_score_where_higher_is_better(results):
    class Rising(Translation):
        monitor = "chrf"

    own = ((0.2, 3.0), (0.4, 3.0))
    assert results(trial(1, "kept", 60, 1.0, curve=SLOW), task=Rising).too_slow(own)
    assert not results(trial(1, "kept", 60, 1.0, curve=FAST), task=Rising).too_slow(own)
