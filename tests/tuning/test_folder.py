import json
import re
import sys
from dataclasses import replace

import pytest

from heedful.data.load import TsvData
from heedful.data.load_images import FolderData
from heedful.errors import RunError
from heedful.tasks.catalog import load_config
from heedful.tasks.generate_image.task import Config as ImageConfig
from heedful.tasks.translation.config import Config, TransformerModel
from heedful.tasks.translation.task import Translation
from heedful.tuning.folder import (
    check_results,
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
BEST = Trial(
    number=2,
    params={"model.heads": 2},
    state="complete",
    feasible=True,
    quality=61.25,
    cost=1234567.0,
)


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


@pytest.mark.parametrize("content", ["[]", "3", "null", '"config"'])
def test_a_damaged_search_is_an_error(tmp_path, content):
    opened(tmp_path / "out")
    (tmp_path / "out" / "search.json").write_text(content)
    with pytest.raises(RunError, match=r"search\.json must say what is searched, got"):
        opened(tmp_path / "out", resume=True)


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


WEIGHTS = ("checkpoints/step-0000007/model.safetensors", "splits/dev.jsonl", "tokens/source.json")
KEPT = ("config.toml", "metrics.jsonl", "run.json")


def fill(run, *more):
    for name in (*WEIGHTS, *KEPT, "checkpoints.json", *more):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)


def test_tidying_keeps_winners_and_the_measurements_of_losers(tmp_path):
    runs = {number: run_folder(tmp_path, number) for number in (1, 2, 3, 1000)}
    assert [run.name for run in runs.values()] == ["001", "002", "003", "1000"]
    for run in runs.values():
        fill(run)
    tidy(tmp_path, Translation, known={1, 2, 1000}, weights={2})
    assert sorted(run.name for run in (tmp_path / "trials").iterdir()) == ["001", "002", "1000"]
    assert sorted(path.name for path in runs[1].iterdir()) == [*KEPT]
    assert len(list(runs[2].iterdir())) == 7


@pytest.mark.parametrize("number", [1, 3], ids=["of a loser", "of an unknown trial"])
@pytest.mark.parametrize(
    "name", ["notes.txt", "checkpoints/mine/model.safetensors", "checkpoints/x"]
)
def test_tidying_leaves_what_no_training_wrote(tmp_path, number, name):
    run = run_folder(tmp_path, number)
    fill(run, name)
    (tmp_path / "trials" / "idea.md").write_text("mine")
    (tmp_path / "trials" / "copy of 001").mkdir()
    fill(tmp_path / "trials" / "copy of 001", "idea")
    before = sorted(path for path in run.rglob("*") if path.is_file())
    tidy(tmp_path, Translation, known={1}, weights=set())
    assert (run / name).read_text() == name
    assert (tmp_path / "trials" / "idea.md").read_text() == "mine"
    assert (tmp_path / "trials" / "copy of 001" / "idea").read_text() == "idea"
    if number == 3:
        assert sorted(path for path in run.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("name", ["001-good", "copy of 001", "1", "0001", "٠٠١", ".001.7.tmp"])
def test_tidying_leaves_copies_of_runs(tmp_path, name):
    fill(tmp_path / "trials" / name)
    before = sorted((tmp_path / "trials").rglob("*"))
    tidy(tmp_path, Translation, known={2}, weights=set())
    assert sorted((tmp_path / "trials").rglob("*")) == before


def test_tidying_deletes_nothing_through_a_link(tmp_path):
    fill(tmp_path / "else")
    (tmp_path / "out" / "trials").mkdir(parents=True)
    for number in (1, 3):
        (tmp_path / "out" / "trials" / f"{number:03}").symlink_to(tmp_path / "else")
    fill(tmp_path / "out" / "trials" / "004", "checkpoints.json")
    (tmp_path / "out" / "trials" / "004" / "tokens" / "target.json").symlink_to(tmp_path / "else")
    before = sorted((tmp_path / "else").rglob("*"))
    tidy(tmp_path / "out", Translation, known={1}, weights=set())
    assert sorted((tmp_path / "else").rglob("*")) == before
    assert len(list((tmp_path / "out" / "trials").iterdir())) == 3


@pytest.mark.parametrize("name", ["trials", "workers"])
def test_the_folders_of_a_search_are_no_links(tmp_path, name):
    opened(tmp_path / "out")
    (tmp_path / "out" / name).rmdir()
    (tmp_path / "out" / name).symlink_to(tmp_path)
    with pytest.raises(RunError, match=rf"{name} must be a folder of the search, got a link"):
        opened(tmp_path / "out", resume=True)


def test_discarding_leaves_nothing_unless_there_is_more(tmp_path):
    for more in ((), ("idea.md",)):
        folder = tmp_path / f"out{len(more)}"
        opened(folder)
        fill(run_folder(folder, 1), *more)
        discard(folder, Translation)
        assert folder.exists() == bool(more)
    assert (folder / "search.json").exists()


def rewrite(path, change):
    plain = json.loads(path.read_text(encoding="utf-8"))
    change(plain)
    path.write_text(json.dumps(plain), encoding="utf-8")


def test_a_search_with_a_length_goes_on_unless_it_counted_macs(tmp_path):
    for cost in ("parameters", "latency", "macs"):
        folder, goal = tmp_path / cost, Goal(keep=GOAL.keep, cost=cost)
        opened(folder, goal=goal)
        rewrite(folder / "search.json", lambda plain: plain["goal"].update(length=64))
        if cost != "macs":
            opened(folder, goal=goal, resume=True)
            continue
        message = "MACs counted as before, got those of examples of dev after those of texts of 64"
        with pytest.raises(RunError, match=message):
            opened(folder, goal=goal, resume=True)


def test_results_of_old_names_are_compared_as_they_are_now(tmp_path):
    write_results(tmp_path, GOAL, None, None, trials_json(GOAL, [BEST], None, seed=1))

    def as_it_was(plain):
        (trial,) = plain["trials"]
        trial["settings"], trial["state"] = trial.pop("params"), "kept"
        del trial["feasible"]

    rewrite(tmp_path / "trials.json", as_it_was)
    check_results(tmp_path, [BEST])
    with pytest.raises(RunError, match=r"must hold trial 2 as trials\.json tells it, got another"):
        check_results(tmp_path, [replace(BEST, feasible=False)])


def test_a_folder_of_data_is_known_by_what_is_in_it(tmp_path):
    images = tmp_path / "images"
    (images / "7").mkdir(parents=True)
    (images / "7" / "a.png").write_bytes(b"one")
    data = FolderData(train=str(images))
    config = ImageConfig(data=data)
    opened(tmp_path / "out", config)
    opened(tmp_path / "out", config, resume=True)
    (images / "7" / "b.png").write_bytes(b"two")
    with pytest.raises(RunError, match=r"must go on with the same files.train, got '\w+' after '"):
        opened(tmp_path / "out", config, resume=True)


def test_other_texts_are_another_search(tmp_path):
    train, dev = tmp_path / "train.tsv", tmp_path / "dev.tsv"
    for path in (train, dev):
        path.write_text("one\t一\n", encoding="utf-8")
    config = Config(data=TsvData(train=str(train), dev=str(dev)))
    opened(tmp_path / "out", config)
    opened(tmp_path / "out", config, resume=True)
    dev.write_text("one\t二\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"must go on with the same files.dev, got '\w+' after '"):
        opened(tmp_path / "out", config, resume=True)


@pytest.mark.parametrize(
    "trials, message",
    [
        ([BEST], None),
        ([BEST, replace(BEST, number=3)], None),
        ([], "must hold trial 2 as trials.json tells it, got none: one of them is damaged"),
        ([replace(BEST, quality=61.5)], "must hold trial 2 as trials.json tells it, got another"),
    ],
)
def test_a_journal_must_hold_what_was_told(tmp_path, trials, message):
    check_results(tmp_path, trials)  # nothing was told yet
    last = replace(BEST, remeasured=0.5, curve=((0.5, 1.25),))
    write_results(tmp_path, GOAL, None, None, trials_json(GOAL, [last], None, seed=1))
    trials = [replace(trial, curve=last.curve) for trial in trials]
    if message is None:
        check_results(tmp_path, trials)
    else:
        with pytest.raises(RunError, match=re.escape(message)):
            check_results(tmp_path, trials)


@pytest.mark.parametrize("content", ["[]", '{"trials": 3}', '{"trials": [3]}', "{}"])
def test_damaged_results_are_an_error(tmp_path, content):
    (tmp_path / "trials.json").write_text(content)
    with pytest.raises(RunError, match=r"trials.json must be whole, got no list of trials"):
        check_results(tmp_path, [])


def test_results_are_a_config_and_all_trials(tmp_path):
    config = Config(output="old", model=TransformerModel(heads=2, kv_heads=1))
    lost = Trial(number=1, params={}, state="fail", reason="NaN")
    plain = trials_json(GOAL, [lost, BEST], BEST, seed=5)
    write_results(tmp_path, GOAL, BEST, config, plain)
    assert load_config(tmp_path / "best.toml") == config.model_copy(update={"output": None})
    first = (tmp_path / "best.toml").read_text(encoding="utf-8").splitlines()[0]
    assert (
        first
        == "# Found by heedful tune, trial 2: chrf 61.25, 1,234,567 MACs of attention an example."
    )
    read = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    assert (read["best"], read["seed"], read["goal"]["keep"]) == (2, 5, "chrf >= 50")
    assert [trial["state"] for trial in read["trials"]] == ["fail", "complete"]
    assert read["trials"][0]["reason"] == "NaN"
    assert {"heedful", "torch", "optuna"} == set(read["versions"])


def test_the_password_of_a_database_is_not_in_the_results(monkeypatch):
    words = ["bin/heedful", "tune", "--storage", "postgresql://me:secret@there/x"]
    monkeypatch.setattr(sys, "argv", words)
    shown = trials_json(GOAL, [], None, seed=1)["command"]
    assert shown == ["heedful", "tune", "--storage", "postgresql://me:***@there/x"]


def test_without_a_best_there_is_no_config(tmp_path):
    write_results(tmp_path, GOAL, None, None, trials_json(GOAL, [], None, seed=1))
    assert [path.name for path in tmp_path.iterdir()] == ["trials.json"]
    assert json.loads((tmp_path / "trials.json").read_text())["best"] is None


@pytest.mark.parametrize(
    "changes, goal, words",
    [
        ({}, GOAL, "chrf 61.25, 1,234,567 MACs of attention an example"),
        ({"cost": None}, GOAL, "chrf 61.25"),
        ({"quality": None}, GOAL, "no chrf, 1,234,567 MACs of attention an example"),
        (
            {"cost": 1.5, "remeasured": 1.234},
            Goal(keep=GOAL.keep, cost="latency"),
            "chrf 61.25, 1.23 ms an example",
        ),
    ],
)
def test_an_outcome_in_words(changes, goal, words):
    trial = Trial(
        **({"number": 1, "params": {}, "state": "complete", "quality": 61.25} | {"cost": 1234567.0})
        | changes
    )
    assert outcome(trial, goal) == words
