import json
import re

import pytest

from heedful.config import Config, TransformerModel
from heedful.config_file import load_config
from heedful.errors import RunError
from heedful.tuning.folder import (
    discard,
    open_folder,
    outcome,
    run_folder,
    tidy,
    trials_json,
    write_results,
)
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.space import Choice, Space
from heedful.tuning.trial import Trial

GOAL = Goal(keep=parse_keep("chrf >= 50"))
SPACE = Space(choices=(Choice(key="model.heads", values=(1, 2)),))
BEST = Trial(number=2, settings={"model.heads": 2}, state="kept", quality=61.25, cost=1234567.0)


def opened(folder, config=None, goal=GOAL, space=SPACE, *, resume=False):
    open_folder(folder, config or Config(), goal, space, resume=resume)


def test_the_same_search_goes_on_wherever_it_is_written(tmp_path):
    folder = tmp_path / "deep" / "out"
    opened(folder, Config(output="a"))
    opened(folder, Config(output="b"), resume=True)
    assert sorted(path.name for path in folder.iterdir()) == ["search.json", "trials", "workers"]


@pytest.mark.parametrize(
    "other, message",
    [
        ({"config": Config(seed=2)}, "same config.seed, got 2 after 1."),
        ({"config": Config(model=TransformerModel(kv_heads=2))}, "same config.model.kv_heads, got"),
        ({"goal": Goal(keep=parse_keep("chrf >= 5"))}, "same goal.keep, got 'chrf >= 5' after"),
        ({"space": Space()}, "same space.model.heads, got None after [1, 2]. Choose another"),
    ],
)
def test_another_search_does_not_go_on(tmp_path, other, message):
    opened(tmp_path / "out")
    with pytest.raises(RunError, match=re.escape(message)):
        opened(tmp_path / "out", **other, resume=True)


def test_only_a_search_goes_on(tmp_path):
    message = f"a search to go on with must be there, got none in {tmp_path}"
    with pytest.raises(RunError, match=re.escape(message)):
        opened(tmp_path, resume=True)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(RunError, match=r"output must be a new or an empty folder, got \S+\.$"):
            opened(folder)
    opened(tmp_path / "out")
    with pytest.raises(RunError, match=r"new or an empty folder, got .* Go on with --resume\.$"):
        opened(tmp_path / "out")
    with pytest.raises(RunError, match="must be writable, got: Not a directory"):
        opened(tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine"


def fill(run):
    for name in ("checkpoints", "splits", "tokens"):
        (run / name).mkdir(parents=True)
        (run / name / "file").touch()
    for name in ("checkpoints.json", "config.toml", "metrics.jsonl", "run.json"):
        (run / name).touch()


def test_tidying_keeps_winners_and_the_measurements_of_losers(tmp_path):
    runs = {number: run_folder(tmp_path, number) for number in (1, 2, 3, 1000)}
    assert [run.name for run in runs.values()] == ["001", "002", "003", "1000"]
    for run in (*runs.values(), tmp_path / "trials" / ".005.7.tmp"):
        fill(run)
    tidy(tmp_path, known={1, 2, 1000}, weights={2})
    assert sorted(run.name for run in (tmp_path / "trials").iterdir()) == ["001", "002", "1000"]
    loser = sorted(path.name for path in runs[1].iterdir())
    assert loser == ["config.toml", "metrics.jsonl", "run.json"]
    assert len(list(runs[2].iterdir())) == 7


def test_discarding_leaves_an_empty_folder(tmp_path):
    opened(tmp_path)
    fill(run_folder(tmp_path, 1))
    discard(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_results_are_a_config_and_all_trials(tmp_path):
    config = Config(output="old", model=TransformerModel(heads=2, kv_heads=1))
    lost = Trial(number=1, settings={}, state="failed", reason="NaN")
    plain = trials_json(GOAL, [lost, BEST], BEST, seed=5)
    write_results(tmp_path, GOAL, BEST, config, plain)
    assert load_config(tmp_path / "best.toml") == config.model_copy(update={"output": None})
    first = (tmp_path / "best.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# Found by heedful tune, trial 2: chrf 61.25, 1,234,567 MACs of attention."
    read = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    assert (read["best"], read["seed"], read["goal"]["keep"]) == (2, 5, "chrf >= 50")
    assert [trial["state"] for trial in read["trials"]] == ["failed", "kept"]
    assert read["trials"][0]["reason"] == "NaN"
    assert {"heedful", "torch", "optuna"} == set(read["versions"])


def test_without_a_best_there_is_no_config(tmp_path):
    write_results(tmp_path, GOAL, None, None, trials_json(GOAL, [], None, seed=1))
    assert [path.name for path in tmp_path.iterdir()] == ["trials.json"]
    assert json.loads((tmp_path / "trials.json").read_text())["best"] is None


@pytest.mark.parametrize(
    "changes, goal, words",
    [
        ({}, GOAL, "chrf 61.25, 1,234,567 MACs of attention"),
        ({"cost": None}, GOAL, "chrf 61.25"),
        ({"quality": None}, GOAL, "no chrf, 1,234,567 MACs of attention"),
        (
            {"cost": 1.5, "remeasured": 1.234},
            Goal(keep=GOAL.keep, cost="latency"),
            "chrf 61.25, 1.23 ms a phrase",
        ),
    ],
)
def test_an_outcome_in_words(changes, goal, words):
    trial = Trial(
        **({"number": 1, "settings": {}, "state": "kept", "quality": 61.25} | {"cost": 1234567.0})
        | changes
    )
    assert outcome(trial, goal) == words
