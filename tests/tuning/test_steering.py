"""Which trials are begun, stopped, kept and forgotten, with trainings that cost nothing."""

import json
import math

import pytest

from heedful.errors import DataError, RunError
from heedful.tasks.catalog import load_config
from heedful.tasks.translation_config import Config, RnnModel
from heedful.tuning.folder import open_folder, run_folder
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.macs import attention_macs
from heedful.tuning.results import Results
from heedful.tuning.space import Choice, Range, Space, applied, combinations, default_space
from heedful.tuning.steering import Steering
from heedful.tuning.study import Study

WIDTHS = Space(choices=(Choice(key="model.width", values=(8, 16, 24, 32)),))
FLAT = ((0.2, 4.0), (0.4, 4.0), (0.6, 4.0), (0.8, 4.0), (1.0, 4.0))


@pytest.fixture
def search(tmp_path, small):
    """Make a search around a config; what is left open is closed."""
    made = []

    def make(keep="chrf >= 50", cost="macs", *, space=None, config=small, trials=10):
        around = default_space(config) if space is None else space
        goal = Goal(keep=parse_keep(keep), cost=cost)
        there = (tmp_path / "out" / "search.json").exists()
        open_folder(tmp_path / "out", config, goal, around, resume=there)
        valid = combinations(around, config)
        study = Study(tmp_path / "out", space=around, valid=valid, seed=1, trials=trials)
        results = Results(config, goal, tmp_path / "out", study.finished())
        made.append(Steering(study, results, trials=trials))
        return made[-1]

    yield make
    for steering in made:
        steering.close()


def width_of(command):
    return command["config"]["model"]["width"]


def states(steering):
    return {trial.number: trial.state for trial in steering.results.trials}


def test_the_config_itself_is_first_and_all_trials_are_run(search, pool_of, play, small):
    steering, heard = search(trials=7), []
    steering.listener = lambda trial, best: heard.append((trial, best))
    pool = pool_of(lambda command: play(command["config"], quality=40.0), workers=2)
    steering.run(pool)
    assert [command["kind"] for command in pool.given] == ["train"] * 7
    first = Config.model_validate(pool.given[0]["config"])
    assert (first.model.width, first.model.kv_heads) == (32, 2)
    assert first.train == small.train
    assert [command["config"]["output"] for command in pool.given] == [
        str(run_folder(steering.folder, number)) for number in range(1, 8)
    ]
    assert states(steering) == dict.fromkeys(range(1, 8), "missed")
    assert [trial.number for trial, _ in heard] == [
        trial.number for trial in steering.results.trials
    ]
    assert all(best is None for _, best in heard)
    assert not steering.results.exhausted


def test_the_cheapest_that_keeps_the_quality_wins_and_only_its_weights_stay(
    search, pool_of, play, weights, small
):
    steering = search(space=WIDTHS)
    steering.run(pool_of(lambda command: play(command["config"], quality=3.0 * width_of(command))))
    steering.close()
    found = {trial.settings["model.width"]: trial.state for trial in steering.results.trials}
    assert found.items() >= {32: "kept", 24: "kept", 16: "missed", 8: "missed"}.items()
    best = steering.results.best
    assert best.settings == {"model.width": 24}
    model = small.model.model_copy(update={"width": 24})
    assert best.cost == attention_macs(model, length=64)
    assert weights(steering.folder) == [best.number]
    written = load_config(steering.folder / "best.toml")
    assert written == small.model_copy(update={"model": model})
    plain = json.loads((steering.folder / "trials.json").read_text(encoding="utf-8"))
    assert plain == steering.results.to_json() | {"trials": plain["trials"]}
    assert plain["best"] == best.number
    assert len(plain["trials"]) == len(steering.results.trials)


def test_nothing_that_costs_as_much_as_the_best_is_begun(search, pool_of, play):
    steering = search(trials=30)
    seen = []

    def run(command):
        model = Config.model_validate(command["config"]).model
        cost = attention_macs(model, length=64)
        assert cost < steering.results.best_cost
        seen.append(cost)
        return play(command["config"], quality=60.0)

    steering.run(pool_of(run))
    cheapest = min(
        attention_macs(applied(steering.config, settings).model, length=64)
        for settings in steering.study.valid
    )
    assert steering.results.best_cost == seen[-1] == cheapest
    assert steering.results.exhausted
    assert len(seen) < 30


def test_every_combination_is_trained_once_and_no_more(search, pool_of, play):
    steering = search(space=WIDTHS, trials=30)
    steering.run(pool_of(lambda command: play(command["config"], quality=1.0), workers=3))
    widths = [trial.settings["model.width"] for trial in steering.results.trials]
    assert sorted(widths) == [8, 16, 24, 32]
    assert steering.results.exhausted


def test_with_a_range_the_same_choices_are_tried_again(search, pool_of, play):
    ends = Range(key="train.learning_rate", low=1e-3, high=1e-2)
    space = Space(choices=(Choice(key="model.width", values=(16, 32)),), ranges=(ends,))
    steering = search(space=space, trials=9)
    steering.run(pool_of(lambda command: play(command["config"], quality=1.0)))
    assert len(steering.results.trials) == 9
    rates = {trial.settings["train.learning_rate"] for trial in steering.results.trials}
    assert len(rates) == 9


def test_what_learns_too_slowly_is_stopped(search, pool_of, play, weights):
    steering = search(space=WIDTHS, trials=2)

    def run(command):
        slow = width_of(command) < 32
        return play(command["config"], quality=60.0, **({"curve": FLAT} if slow else {}))

    steering.run(pool_of(run))
    assert states(steering) == {1: "kept", 2: "stopped"}
    stopped = steering.results.trials[1]
    assert stopped.curve == FLAT[:4]  # where the first one was at 0.4 already
    assert stopped.quality is None
    assert weights(steering.folder) == [1]


def test_before_any_keeps_the_quality_the_nearest_is_the_measure(search, pool_of, play):
    steering = search(space=WIDTHS, trials=2)

    def run(command):
        slow = width_of(command) < 32
        return play(command["config"], quality=40.0, **({"curve": FLAT} if slow else {}))

    steering.run(pool_of(run))
    assert states(steering) == {1: "missed", 2: "stopped"}


def test_the_last_evaluation_stops_nothing(search, pool_of, play):
    late = ((0.25, 9.0), (1.0, 9.0))
    steering = search(space=WIDTHS, trials=2)

    def run(command):
        slow = width_of(command) < 32
        return play(command["config"], quality=60.0, **({"curve": late} if slow else {}))

    steering.run(pool_of(run))
    assert states(steering) == {1: "kept", 2: "kept"}


def test_parameters_are_known_when_a_training_begins(search, pool_of, play):
    steering = search(cost="parameters", space=WIDTHS, trials=4)

    def run(command):
        # the narrower, the more: nobody can know before
        count = 1_000 - width_of(command)
        return play(command["config"], quality=60.0, parameters=count)

    steering.run(pool_of(run))
    assert steering.results.best.settings == {"model.width": 32}
    assert steering.results.best.cost == 968
    assert states(steering) == {1: "kept", 2: "dearer", 3: "dearer", 4: "dearer"}
    assert all(trial.curve == () for trial in steering.results.trials[1:])
    assert all(trial.cost > 968 for trial in steering.results.trials[1:])


def test_a_training_that_a_cheaper_one_overtakes_is_stopped(search, pool_of, play):
    steering = search(space=WIDTHS, trials=2)

    def run(command):
        curve = ((0.1, 1.0), (1.0, 1.0)) if width_of(command) < 32 else ((0.1, 1.0),) * 9
        return play(command["config"], quality=60.0, curve=curve)

    steering.run(pool_of(run, workers=2))
    assert states(steering) == {1: "dearer", 2: "kept"}
    assert 0 < len(steering.results.trials[0].curve) < 9


def test_failed_trainings_count_and_the_search_goes_on(search, pool_of, play):
    steering = search(trials=5)

    def run(command):
        messages = play(command["config"], quality=60.0)
        return [messages[0], {"kind": "failed", "reason": "NaN"}]

    steering.run(pool_of(run))
    assert states(steering) == dict.fromkeys(range(1, 6), "failed")
    assert {trial.reason for trial in steering.results.trials} == {"NaN"}


def test_workers_that_die_again_and_again_end_the_search(search, pool_of, play):
    died = {"kind": "died", "reason": "the worker ended with SIGKILL"}

    def run(command):
        number = int(command["config"]["output"][-3:])
        return [died] if number != 3 else play(command["config"], quality=40.0)

    steering = search(trials=10)
    with pytest.raises(RunError, match=r"must live, got 3 dead ones in a row: .*SIGKILL"):
        steering.run(pool_of(run))
    assert list(states(steering).values()) == [*("failed", "failed", "missed"), *["failed"] * 3]


def test_an_error_that_meets_every_trial_is_raised_as_it_was(search, pool_of):
    error = {"kind": "error", "error": "DataError", "message": "train must be a file, got none"}
    steering = search()
    with pytest.raises(DataError, match="train must be a file, got none"):
        steering.run(pool_of(lambda command: [error]))
    assert steering.results.trials == []


def test_a_death_without_work_is_nothing(search, pool_of, play):
    pool = pool_of(lambda command: play(command["config"], quality=1.0))
    honest = pool.receive
    pool.receive = lambda: [(object(), {"kind": "died", "reason": "idle"}), *honest()]
    steering = search(trials=2)
    steering.run(pool)
    assert len(steering.results.trials) == 2


def test_a_search_goes_on_where_it_was(search, pool_of, play, weights):
    class Enough(Exception):
        pass

    def run(command):
        messages = play(command["config"], quality=1.0)
        if command["config"]["output"].endswith("004"):
            raise Enough
        return messages

    space = Space(ranges=(Range(key="train.learning_rate", low=1e-3, high=1e-2),))
    steering = search(space=space)
    pool = pool_of(run, workers=2)
    pool.workers[0].send = lambda answer: None  # the first trial never ends
    with pytest.raises(Enough):
        steering.run(pool)
    steering.close()
    before = steering.results.trials
    assert [trial.number for trial in before] == [2, 3]
    assert not run_folder(steering.folder, 1).exists()
    assert not run_folder(steering.folder, 4).exists()
    steering = search(space=space, trials=6)
    assert steering.results.trials == before
    pool = pool_of(lambda command: play(command["config"], quality=2.0))
    steering.run(pool)
    assert [trial.number for trial in steering.results.trials] == [1, 2, 3, 4, 5, 6]
    again = Config.model_validate(pool.given[0]["config"])
    assert again.train == steering.config.train  # the config itself, once more
    assert [trial.quality for trial in steering.results.trials] == [2.0, 1.0, 1.0, 2.0, 2.0, 2.0]


# ---- latency -------------------------------------------------------------------------------------


def timed(play, measured):
    """Latency is the width when measured alone, and what is given when measured in turns."""

    def run(command):
        if command["kind"] == "measure":
            assert len(command["runs"]) == len(measured)
            return [{"kind": "measured", "milliseconds": measured}]
        return play(command["config"], quality=60.0, latency=float(width_of(command)))

    return run


def test_finalists_are_measured_again_in_turns(search, pool_of, play, weights):
    steering = search(cost="latency", space=WIDTHS)
    pool = pool_of(timed(play, [9.0, 7.0, 8.0]))
    steering.run(pool)
    steering.close()
    assert [command["kind"] for command in pool.given] == ["train"] * 4 + ["measure"]
    again = {trial.settings["model.width"]: trial.remeasured for trial in steering.results.trials}
    assert again == {8: 9.0, 16: 7.0, 24: 8.0, 32: None}
    assert steering.results.best.settings == {"model.width": 16}
    assert "7.00 ms a phrase" in (steering.folder / "best.toml").read_text(encoding="utf-8")
    finalists = [trial.number for trial in steering.results.trials if trial.remeasured is not None]
    assert weights(steering.folder) == finalists
    later = search(cost="latency", space=WIDTHS)  # nothing is left to train
    later.run(pool_of(timed(play, [9.0, 7.0, 8.0])))
    assert later.results.best.settings == {"model.width": 16}


def test_one_finalist_needs_no_final(search, pool_of, play):
    steering = search("chrf >= 50", "latency", space=WIDTHS, trials=1)
    pool = pool_of(timed(play, []))
    steering.run(pool)
    assert [command["kind"] for command in pool.given] == ["train"]
    assert steering.results.best.cost == 32.0


@pytest.mark.parametrize(
    "message, kind, words",
    [
        ({"kind": "died", "reason": "SIGKILL"}, RunError, "must live, got a dead one: SIGKILL"),
        ({"kind": "error", "error": "RunError", "message": "no weights"}, RunError, "no weights"),
    ],
)
def test_a_final_that_cannot_be_held_is_an_error(search, pool_of, play, message, kind, words):
    def run(command):
        return [message] if command["kind"] == "measure" else timed(play, [])(command)

    steering = search(cost="latency", space=WIDTHS)
    with pytest.raises(kind, match=words):
        steering.run(pool_of(run))


def test_kinds_of_attention_are_a_mechanism_to_choose(search, pool_of, play):
    config = Config(model=RnnModel(width=32, hidden=32))
    space = Space(choices=(Choice(key="model.attention", values=("additive", "dot", "none")),))
    steering = search(space=space, config=config)

    def run(command):
        quality = 20.0 if command["config"]["model"]["attention"] == "none" else 60.0
        return play(command["config"], quality=quality)

    steering.run(pool_of(run))
    assert steering.results.best.settings == {"model.attention": "dot"}
    assert math.isfinite(steering.results.best_cost)
