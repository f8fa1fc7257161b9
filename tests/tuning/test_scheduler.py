"""Which trials are begun, stopped, kept and forgotten, with trainings that cost nothing."""

import json
import math

import pytest

from heedful.errors import ConfigError, DataError, RunError
from heedful.tasks.catalog import load_config
from heedful.tasks.translation.config import Config, RnnModel
from heedful.tasks.translation.task import Translation
from heedful.tuning.folder import open_folder, run_folder
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.results import Results
from heedful.tuning.scheduler import Scheduler
from heedful.tuning.space import Choice, Range, Space, applied, combinations, default_space
from heedful.tuning.study import Study

WIDTHS = Space(choices=(Choice(key="model.width", values=(8, 16, 24, 32)),))
FLAT = ((0.2, 4.0), (0.4, 4.0), (0.6, 4.0), (0.8, 4.0), (1.0, 4.0))


def cost_of(model):
    """Stands in for what `Costs` counts."""
    if isinstance(model, RnnModel):
        return {"additive": 3.0, "dot": 2.0, "none": 1.0}[model.attention]
    shared = model.heads if model.kv_heads is None else model.kv_heads
    return float(model.width**2 + model.width * shared // model.heads)


@pytest.fixture
def search(tmp_path, small):
    """Make a search around a config; what is left open is closed."""
    made = []

    def make(
        keep="chrf >= 50", cost="macs", *, space=None, config=small, trials=10, task=Translation
    ):
        def known(params):
            return None if cost == "latency" else cost_of(applied(config, params).model)

        around = default_space(config) if space is None else space
        goal = Goal(keep=parse_keep(keep), cost=cost)
        there = (tmp_path / "out" / "search.json").exists()
        open_folder(tmp_path / "out", config, goal, around, resume=there)
        valid = combinations(around, config, Translation)
        study = Study(tmp_path / "out", space=around, valid=valid, seed=1, trials=trials)
        results = Results(config, goal, tmp_path / "out", study.finished(), task=task)
        made.append(Scheduler(study, results, trials=trials, cost_of=known))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


def width_of(command):
    return command["config"]["model"]["width"]


def end_of(trial):
    if trial.state == "complete":
        return "kept" if trial.feasible else "missed"
    return trial.reason if trial.state == "pruned" else trial.state


def states(scheduler):
    return {trial.number: end_of(trial) for trial in scheduler.results.trials}


def test_the_config_itself_is_first_and_all_trials_are_run(search, pool_of, play, small):
    scheduler, heard = search(trials=7), []
    scheduler.callback = lambda trial, best: heard.append((trial, best))
    pool = pool_of(lambda command: play(command["config"], quality=40.0), workers=2)
    scheduler.run(pool)
    assert [command["kind"] for command in pool.given] == ["train"] * 7
    first = Config.model_validate(pool.given[0]["config"])
    assert (first.model.width, first.model.kv_heads) == (32, 2)
    assert first.train == small.train
    assert [command["config"]["output"] for command in pool.given] == [
        str(run_folder(scheduler.folder, number)) for number in range(1, 8)
    ]
    assert states(scheduler) == dict.fromkeys(range(1, 8), "missed")
    assert [trial.number for trial, _ in heard] == [
        trial.number for trial in scheduler.results.trials
    ]
    assert all(best is None for _, best in heard)
    assert not scheduler.results.exhausted


def test_the_cheapest_that_keeps_the_quality_wins_and_only_its_weights_stay(
    search, pool_of, play, weights, small
):
    scheduler = search(space=WIDTHS)
    scheduler.run(pool_of(lambda command: play(command["config"], quality=3.0 * width_of(command))))
    scheduler.close()
    found = {trial.params["model.width"]: end_of(trial) for trial in scheduler.results.trials}
    assert found.items() >= {32: "kept", 24: "kept", 16: "missed", 8: "missed"}.items()
    best = scheduler.results.best
    assert best.params == {"model.width": 24}
    model = small.model.model_copy(update={"width": 24})
    assert best.cost == cost_of(model)
    assert weights(scheduler.folder) == [best.number]
    written = load_config(scheduler.folder / "best.toml")
    assert written == small.model_copy(update={"model": model})
    plain = json.loads((scheduler.folder / "trials.json").read_text(encoding="utf-8"))
    assert plain == scheduler.results.to_json() | {"trials": plain["trials"]}
    assert plain["best"] == best.number
    assert len(plain["trials"]) == len(scheduler.results.trials)


def test_nothing_that_costs_as_much_as_the_best_is_begun(search, pool_of, play):
    scheduler = search(trials=30)
    seen = []

    def run(command):
        model = Config.model_validate(command["config"]).model
        cost = cost_of(model)
        assert cost < scheduler.results.best_cost
        seen.append(cost)
        return play(command["config"], quality=60.0)

    scheduler.run(pool_of(run))
    cheapest = min(
        cost_of(applied(scheduler.config, params).model) for params in scheduler.study.valid
    )
    assert scheduler.results.best_cost == seen[-1] == cheapest
    assert scheduler.results.exhausted
    assert len(seen) < 30


def test_every_combination_is_trained_once_and_no_more(search, pool_of, play):
    scheduler = search(space=WIDTHS, trials=30)
    scheduler.run(pool_of(lambda command: play(command["config"], quality=1.0), workers=3))
    widths = [trial.params["model.width"] for trial in scheduler.results.trials]
    assert sorted(widths) == [8, 16, 24, 32]
    assert scheduler.results.exhausted


def test_with_a_range_the_same_choices_are_tried_again(search, pool_of, play):
    ends = Range(key="train.learning_rate", low=1e-3, high=1e-2)
    space = Space(choices=(Choice(key="model.width", values=(16, 32)),), ranges=(ends,))
    scheduler = search(space=space, trials=9)
    scheduler.run(pool_of(lambda command: play(command["config"], quality=1.0)))
    assert len(scheduler.results.trials) == 9
    rates = {trial.params["train.learning_rate"] for trial in scheduler.results.trials}
    assert len(rates) == 9


def test_what_learns_too_slowly_is_stopped(search, pool_of, play, weights):
    scheduler = search(space=WIDTHS, trials=2)

    def run(command):
        slow = width_of(command) < 32
        return play(command["config"], quality=60.0, **({"curve": FLAT} if slow else {}))

    scheduler.run(pool_of(run))
    assert states(scheduler) == {1: "kept", 2: "slow"}
    stopped = scheduler.results.trials[1]
    assert stopped.curve == FLAT[:4]  # where the first one was at 0.4 already
    assert stopped.quality is None
    assert weights(scheduler.folder) == [1]


def test_before_any_keeps_the_quality_the_nearest_is_the_measure(search, pool_of, play):
    scheduler = search(space=WIDTHS, trials=2)

    def run(command):
        slow = width_of(command) < 32
        return play(command["config"], quality=40.0, **({"curve": FLAT} if slow else {}))

    scheduler.run(pool_of(run))
    assert states(scheduler) == {1: "missed", 2: "slow"}


def test_the_last_evaluation_stops_nothing(search, pool_of, play):
    late = ((0.25, 9.0), (1.0, 9.0))
    scheduler = search(space=WIDTHS, trials=2)

    def run(command):
        slow = width_of(command) < 32
        return play(command["config"], quality=60.0, **({"curve": late} if slow else {}))

    scheduler.run(pool_of(run))
    assert states(scheduler) == {1: "kept", 2: "kept"}


def test_a_training_that_costs_too_much_by_now_ends_before_its_first_step(search, pool_of, play):
    scheduler = search(space=WIDTHS, trials=2)

    def run(command):
        curve = () if width_of(command) < 32 else ((0.5, 1.0),)
        return play(command["config"], quality=60.0, curve=curve)

    pool = pool_of(run, workers=2)
    first, later = pool.workers
    honest, waiting = pool.receive, []

    def receive():
        """The second training begins when the first one has ended."""
        if not first.busy:
            return [waiting.pop()] if waiting else honest()
        found = honest()
        waiting.extend(each for each in found if each[0] is later)
        return [each for each in found if each[0] is first]

    pool.receive = receive
    scheduler.cost_of = lambda params: -float(params["model.width"])  # the widest is the cheapest
    scheduler.run(pool)
    assert states(scheduler) == {1: "kept", 2: "cost"}
    assert scheduler.results.trials[1].curve == ()


def test_what_makes_no_model_is_not_tried(search, pool_of, play):
    scheduler = search(space=WIDTHS, trials=9)

    def known(params):
        if params["model.width"] == 16:
            raise ConfigError("width must be lucky, got 16")
        return 1.0

    scheduler.cost_of = known
    scheduler.run(pool_of(lambda command: play(command["config"], quality=1.0)))
    assert {trial.params["model.width"] for trial in scheduler.results.trials} == {8, 24, 32}


def test_curves_rise_where_the_score_that_chooses_checkpoints_does(search, pool_of, play):
    class Rising(Translation):
        monitor = "chrf"

    scheduler = search(space=WIDTHS, trials=2, task=Rising)
    quick = ((0.2, -4.0), (0.4, -4.0), (0.6, 9.0), (1.0, 9.0))

    def run(command):
        slow = width_of(command) < 32
        curve = ((0.2, -5.0), (0.4, -5.0), (0.6, -5.0), (1.0, 1.0)) if slow else quick
        return play(command["config"], quality=60.0, curve=curve)

    scheduler.run(pool_of(run))
    assert states(scheduler) == {1: "kept", 2: "slow"}
    told = [trial.intermediate_values.values() for trial in scheduler.study._study.get_trials()]
    assert {5.0, -9.0} < {value for values in told for value in values}  # less is better there


def test_a_training_that_a_cheaper_one_overtakes_is_stopped(search, pool_of, play):
    scheduler = search(space=WIDTHS, trials=2)

    def run(command):
        curve = ((0.1, 1.0), (1.0, 1.0)) if width_of(command) < 32 else ((0.1, 1.0),) * 9
        return play(command["config"], quality=60.0, curve=curve)

    scheduler.run(pool_of(run, workers=2))
    assert states(scheduler) == {1: "cost", 2: "kept"}
    assert 0 < len(scheduler.results.trials[0].curve) < 9


def test_failed_trainings_count_and_the_search_goes_on(search, pool_of, play):
    scheduler = search(trials=5)

    def run(command):
        messages = play(command["config"], quality=60.0)
        return [messages[0], {"kind": "failed", "reason": "NaN"}]

    scheduler.run(pool_of(run))
    assert states(scheduler) == dict.fromkeys(range(1, 6), "fail")
    assert {trial.reason for trial in scheduler.results.trials} == {"NaN"}


def test_workers_that_die_again_and_again_end_the_search(search, pool_of, play):
    died = {"kind": "died", "reason": "the worker ended with SIGKILL"}

    def run(command):
        number = int(command["config"]["output"][-3:])
        return [died] if number != 3 else play(command["config"], quality=40.0)

    scheduler = search(trials=10)
    with pytest.raises(RunError, match=r"must live, got 3 dead ones in a row: .*SIGKILL"):
        scheduler.run(pool_of(run))
    assert list(states(scheduler).values()) == [*("fail", "fail", "missed"), *["fail"] * 3]


def test_an_error_that_meets_every_trial_is_raised_as_it_was(search, pool_of):
    error = {"kind": "error", "error": "DataError", "message": "train must be a file, got none"}
    scheduler = search()
    with pytest.raises(DataError, match="train must be a file, got none"):
        scheduler.run(pool_of(lambda command: [error]))
    assert scheduler.results.trials == []


def test_a_death_without_work_is_nothing(search, pool_of, play):
    pool = pool_of(lambda command: play(command["config"], quality=1.0))
    honest = pool.receive
    pool.receive = lambda: [(object(), {"kind": "died", "reason": "idle"}), *honest()]
    scheduler = search(trials=2)
    scheduler.run(pool)
    assert len(scheduler.results.trials) == 2


def test_a_search_goes_on_where_it_was(search, pool_of, play, weights):
    class Enough(Exception):
        pass

    def run(command):
        messages = play(command["config"], quality=1.0)
        if command["config"]["output"].endswith("004"):
            raise Enough
        return messages

    space = Space(ranges=(Range(key="train.learning_rate", low=1e-3, high=1e-2),))
    scheduler = search(space=space)
    pool = pool_of(run, workers=2)
    pool.workers[0].send = lambda answer: None  # the first trial never ends
    with pytest.raises(Enough):
        scheduler.run(pool)
    scheduler.close()
    before = scheduler.results.trials
    assert [trial.number for trial in before] == [2, 3]
    assert not run_folder(scheduler.folder, 1).exists()
    assert not run_folder(scheduler.folder, 4).exists()
    scheduler = search(space=space, trials=6)
    assert scheduler.results.trials == before
    pool = pool_of(lambda command: play(command["config"], quality=2.0))
    scheduler.run(pool)
    assert [trial.number for trial in scheduler.results.trials] == [1, 2, 3, 4, 5, 6]
    again = Config.model_validate(pool.given[0]["config"])
    assert again.train == scheduler.config.train  # the config itself, once more
    assert [trial.quality for trial in scheduler.results.trials] == [2.0, 1.0, 1.0, 2.0, 2.0, 2.0]


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
    scheduler = search(cost="latency", space=WIDTHS)
    pool = pool_of(timed(play, [9.0, 7.0, 8.0]))
    scheduler.run(pool)
    scheduler.close()
    assert [command["kind"] for command in pool.given] == ["train"] * 4 + ["measure"]
    again = {trial.params["model.width"]: trial.remeasured for trial in scheduler.results.trials}
    assert again == {8: 9.0, 16: 7.0, 24: 8.0, 32: None}
    assert scheduler.results.best.params == {"model.width": 16}
    assert "7.00 ms an example" in (scheduler.folder / "best.toml").read_text(encoding="utf-8")
    finalists = [trial.number for trial in scheduler.results.trials if trial.remeasured is not None]
    assert weights(scheduler.folder) == finalists
    later = search(cost="latency", space=WIDTHS)  # nothing is left to train
    later.run(pool_of(timed(play, [9.0, 7.0, 8.0])))
    assert later.results.best.params == {"model.width": 16}


def test_one_finalist_needs_no_final(search, pool_of, play):
    scheduler = search("chrf >= 50", "latency", space=WIDTHS, trials=1)
    pool = pool_of(timed(play, []))
    scheduler.run(pool)
    assert [command["kind"] for command in pool.given] == ["train"]
    assert scheduler.results.best.cost == 32.0


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

    scheduler = search(cost="latency", space=WIDTHS)
    with pytest.raises(kind, match=words):
        scheduler.run(pool_of(run))


def test_kinds_of_attention_are_a_mechanism_to_choose(search, pool_of, play):
    config = Config(model=RnnModel(width=32, hidden=32))
    space = Space(choices=(Choice(key="model.attention", values=("additive", "dot", "none")),))
    scheduler = search(space=space, config=config)

    def run(command):
        quality = 20.0 if command["config"]["model"]["attention"] == "none" else 60.0
        return play(command["config"], quality=quality)

    scheduler.run(pool_of(run))
    assert scheduler.results.best.params == {"model.attention": "dot"}
    assert math.isfinite(scheduler.results.best_cost)
