import json

import pytest

from heedful.tuning.goal import parse_keep
from heedful.tuning.trial import Trial, nearest, ranked, trial_from_json

CHRF, LOSS = parse_keep("chrf >= 50"), parse_keep("dev_loss <= 2")


STATES = {
    "kept": {"state": "complete", "feasible": True},
    "missed": {"state": "complete", "feasible": False},
    "slow": {"state": "pruned", "reason": "slow"},
    "cost": {"state": "pruned", "reason": "cost"},
    "fail": {"state": "fail"},
}


def trial(number, end, quality=None, cost=None, **more):
    about = STATES[end] | more
    return Trial(number=number, params={}, quality=quality, cost=cost, **about)


def numbers(trials):
    return [one.number for one in trials]


def test_the_cheapest_that_keeps_the_quality_is_first():
    trials = [
        trial(1, "kept", 90.0, 30.0),
        trial(2, "kept", 60.0, 20.0),
        trial(3, "missed", 40.0, 10.0),
        trial(4, "cost", None, 5.0),
        trial(5, "kept", 70.0, 20.0),
        trial(6, "fail"),
        trial(7, "kept", 70.0, 20.0),
    ]
    assert numbers(ranked(trials, CHRF)) == [5, 7, 2, 1]
    assert ranked([], CHRF) == []


def test_of_equal_ones_the_better_is_first_also_where_lower_is_better():
    trials = [trial(1, "kept", 1.9, 3.0), trial(2, "kept", 1.2, 3.0)]
    assert numbers(ranked(trials, LOSS)) == [2, 1]


def test_finalists_are_ranked_by_what_was_measured_in_turns():
    trials = [
        trial(1, "kept", 60.0, 1.0, remeasured=9.0),
        trial(2, "kept", 60.0, 2.0, remeasured=8.0),
        trial(3, "kept", 60.0, 3.0),
    ]
    assert numbers(ranked(trials, CHRF)) == [2, 1, 3]
    assert numbers(ranked(trials, CHRF, final=False)) == [1, 2, 3]


def test_the_nearest_misses_by_least():
    trials = [trial(1, "missed", 30.0), trial(2, "missed", 45.0), trial(3, "slow")]
    assert nearest(trials, CHRF).number == 2
    assert nearest(trials, LOSS).number == 1
    assert nearest(trials[2:], CHRF) is None


def test_comes_back_from_json():
    whole = trial(
        *(3, "kept", 60.5, 7.0),
        remeasured=6.5,
        seconds=1.5,
        curve=((0.5, 2.0), (1.0, 1.5)),
        reason="no",
    )
    assert trial_from_json(json.loads(json.dumps(whole.to_json()))) == whole


@pytest.mark.parametrize(
    "state, reason, want",
    [
        ("kept", None, {"state": "complete", "feasible": True, "reason": None}),
        ("missed", None, {"state": "complete", "feasible": False, "reason": None}),
        ("stopped", None, {"state": "pruned", "feasible": None, "reason": "slow"}),
        ("dearer", None, {"state": "pruned", "feasible": None, "reason": "cost"}),
        ("failed", "NaN", {"state": "fail", "feasible": None, "reason": "NaN"}),
    ],
)
def test_what_was_written_under_old_names_is_read(state, reason, want):
    old = {"number": 3, "settings": {"model.heads": 2}, "state": state, "quality": 1.5}
    old |= {"cost": 7.0, "remeasured": None, "seconds": 2.0, "curve": [[0.5, 2.0]]}
    found = trial_from_json(old | {"reason": reason})
    assert found.to_json().items() >= want.items()
    assert (found.params, found.curve, found.quality) == ({"model.heads": 2}, ((0.5, 2.0),), 1.5)
