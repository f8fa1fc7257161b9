"""`tune` from beginning to end: with trainings that cost nothing, and once with real ones."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from heedful.config.base import dump
from heedful.config.file import dump_toml
from heedful.errors import BudgetError, ConfigError, DataError, RunError, UnsupportedError
from heedful.evaluation import evaluate
from heedful.locks import hold
from heedful.tasks.catalog import load_config, parse_config
from heedful.tasks.translation.config import Config
from heedful.training.start import train
from heedful.tuning import search as module
from heedful.tuning.folder import run_folder
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.search import tune
from heedful.tuning.search_text import parse_space
from heedful.tuning.space import Choice, Space

WIDTHS = Space(choices=(Choice(key="model.width", values=(8, 16, 24, 32)),))


def goal(keep="chrf >= 50", cost="macs"):
    return Goal(keep=parse_keep(keep), cost=cost)


def known(params):
    """Stands in for what is counted."""
    return float(params["model.width"])


@pytest.fixture
def pretend(monkeypatch, pool_of, play):
    """Let workers pretend; `quality(config)` is what a training comes to."""
    pools = []

    def use(quality):
        def make(logs, *, workers):
            assert logs.is_dir()
            run = lambda command: play(command["config"], quality=quality(command["config"]))  # noqa: E731
            pools.append(pool_of(run, workers))
            return pools[-1]

        monkeypatch.setattr(module, "Pool", make)
        monkeypatch.setattr(module.Costs, "__call__", lambda self, params: known(params))
        return pools

    return use


def of_width(config):
    return 3.0 * config["model"]["width"]


def test_finds_the_cheapest_and_says_how(pretend, tmp_path, small):
    pools, heard = pretend(of_width), []
    found = tune(
        small,
        goal=goal(),
        output=tmp_path / "out",
        space=WIDTHS,
        workers=2,
        on_trial=lambda trial, best: heard.append(trial.number),
    )
    assert found.best.params == {"model.width": 24}
    assert found.config == load_config(tmp_path / "out" / "best.toml")
    assert found.config.model.width == 24
    assert sorted(heard) == [trial.number for trial in found.trials]
    assert found.plain["best"] == found.best.number
    assert found.folder == tmp_path / "out"
    assert len(pools[0].workers) == 2
    assert pools[0].stopped


def test_takes_a_file_and_has_a_space_of_its_own(pretend, tmp_path, small):
    pools = pretend(of_width)
    (tmp_path / "c.toml").write_text(dump_toml(small), encoding="utf-8")
    found = tune(tmp_path / "c.toml", goal=goal(), output=tmp_path / "out", trials=3, workers=8)
    assert len(pools[0].workers) == 3  # no more than trials
    assert set(found.best.params) >= {"model.heads", "model.kv_heads", "train.learning_rate"}


def test_none_that_is_good_enough_is_an_error_that_names_the_nearest(pretend, tmp_path, small):
    pretend(of_width)
    message = (
        "one trial must keep chrf >= 99, got 0 of 4, the nearest with chrf 96. "
        "Loosen --keep, or raise --trials or --minutes."
    )
    with pytest.raises(BudgetError, match=re.escape(message)):
        tune(small, goal=goal("chrf >= 99"), output=tmp_path / "out", space=WIDTHS)
    plain = json.loads((tmp_path / "out" / "trials.json").read_text(encoding="utf-8"))
    assert plain["best"] is None
    assert len(plain["trials"]) == 4
    assert not (tmp_path / "out" / "best.toml").exists()


@pytest.mark.parametrize(
    "counts, message",
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"workers": 10**6, "trials": 2}, "workers must be at most 1,024, got 1000000"),
    ],
)
def test_counts_are_within_reason(tmp_path, small, counts, message):
    with pytest.raises(ConfigError, match=message):
        tune(small, goal=goal(), output=tmp_path / "out", **counts)
    assert not (tmp_path / "out").exists()


def test_a_space_without_models_leaves_nothing_behind(tmp_path, small):
    space = Space(choices=(Choice(key="model.heads", values=(3,)),))
    with pytest.raises(ConfigError, match="heads must divide width, got heads=3, width=32"):
        tune(small, goal=goal(), output=tmp_path / "out", space=space)
    assert not (tmp_path / "out").exists()


def test_a_search_that_cannot_run_here_leaves_nothing_behind(tmp_path, small, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedError, match="got Windows"):
        tune(small, goal=goal(), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_database_that_cannot_be_used_leaves_nothing_behind(tmp_path, small):
    with pytest.raises(RunError, match="the database of --storage must be usable, got: "):
        tune(small, goal=goal(), output=tmp_path / "out", storage="sqlite:////no/such/place.db")
    assert not (tmp_path / "out").exists()


def test_a_database_that_is_lost_ends_a_search_in_one_line(pretend, tmp_path, small):
    database = tmp_path / "all.db"

    def lost(config):
        database.write_bytes(b"something else " * 999)
        return of_width(config)

    pools = pretend(lost)
    with pytest.raises(RunError, match="must be usable until the end, got: "):
        tune(small, goal=goal(), output=tmp_path / "out", storage=f"sqlite:///{database}")
    assert pools[0].stopped


def test_an_interrupt_keeps_what_is_finished_and_resume_goes_on(pretend, tmp_path, small):
    def interrupted(config):
        if config["output"].endswith("003"):
            run_folder(folder, 3).mkdir()
            raise KeyboardInterrupt
        return 3.0 * config["model"]["width"]

    folder = tmp_path / "out"
    pools = pretend(interrupted)
    settings = {"goal": goal("chrf >= 20"), "output": folder, "space": WIDTHS}
    with pytest.raises(KeyboardInterrupt):
        tune(small, **settings)
    assert pools[0].stopped
    plain = json.loads((folder / "trials.json").read_text(encoding="utf-8"))
    assert [trial["number"] for trial in plain["trials"]] == [1, 2]
    assert load_config(folder / "best.toml")
    assert not run_folder(folder, 3).exists()
    with pytest.raises(RunError, match=r"new or an empty folder, got .* Go on with --resume\."):
        tune(small, **settings)
    pretend(of_width)
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    told = [row for row, line in enumerate(lines) if b'"heedful":{' in line]
    journal.write_bytes(b"".join(lines[: told[1]] + lines[told[1] + 1 :]))
    with pytest.raises(RunError, match=r"must hold trial 2 as trials.json tells it, got none"):
        tune(small, **settings, resume=True)
    assert json.loads((folder / "trials.json").read_text(encoding="utf-8")) == plain
    journal.write_bytes(whole)
    run_folder(folder, 3).mkdir()
    (run_folder(folder, 3) / "idea.md").write_text("mine")
    found = tune(small, **settings, resume=True)
    assert (run_folder(folder, 3) / "idea.md").read_text() == "mine"
    assert 3 not in {trial.number for trial in found.trials}
    assert found.best.params == {"model.width": 8}
    assert {1, 2} < {trial.number for trial in found.trials}


def test_what_meets_every_trial_leaves_nothing(monkeypatch, pool_of, tmp_path, small):
    error = {"kind": "error", "error": "DataError", "message": "train must be a file, got none"}
    monkeypatch.setattr(module, "Pool", lambda logs, *, workers: pool_of(lambda command: [error]))
    for _ in range(2):  # nothing stands in the way of the next attempt
        with pytest.raises(DataError, match="train must be a file"):
            tune(small, goal=goal(cost="latency"), output=tmp_path / "out", space=WIDTHS)
        assert list(tmp_path.iterdir()) == []


def test_a_new_search_leaves_a_folder_that_is_held_alone(tmp_path, small):
    with hold(tmp_path / "out", make=True):
        with pytest.raises(RunError, match="out must not be in use, got: held by process"):
            tune(small, goal=goal(), output=tmp_path / "out", space=WIDTHS)


@pytest.mark.slow
def test_two_workers_find_a_cheaper_translator(digit_config, tmp_path, weights):
    """Real trainings in real processes; what is found can be loaded, trained and evaluated."""
    config = digit_config(steps=20, learning_rate=5e-3).model_copy(update={"output": None})
    space = parse_space(["heads=1,2", "width=16,32", "learning_rate=3e-3..1e-2"], config)
    found = tune(
        config,
        goal=goal("dev_loss <= 100", "parameters"),
        output=tmp_path / "out",
        space=space,
        trials=4,
        workers=2,
    )
    assert 1 <= len(found.trials) <= 4  # until nothing is left that has fewer parameters
    assert found.best.cost == min(trial.cost for trial in found.trials)
    run = run_folder(found.folder, found.best.number)
    assert weights(found.folder) == [found.best.number]
    assert evaluate(run, split="test").examples == 50
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert about["parameters"] == found.best.cost
    assert about["threads"] <= max((os.cpu_count() or 1) // 2, 1)
    best = load_config(found.folder / "best.toml")
    assert best == found.config
    assert best.train.steps == 20
    assert train(best.model_copy(update={"output": str(tmp_path / "again")})).about
    logs = [path.read_text() for path in (found.folder / "workers").iterdir()]
    assert len(logs) == 2
    for line in (found.folder / "journal.jsonl").read_bytes().splitlines():
        assert isinstance(json.loads(line), dict)


def test_control_c_leaves_no_process_and_a_kill_none_either(tmp_path, alive):
    (tmp_path / "c.toml").write_text(dump_toml(Config()), encoding="utf-8")
    for sign in (signal.SIGINT, signal.SIGKILL):
        folder = tmp_path / sign.name
        process = subprocess.Popen([sys.executable, "-c", _SLEEPERS, str(tmp_path), str(folder)])
        try:
            pids = _pids(folder, 2)
            process.send_signal(sign)
            process.wait(60)
            deadline = time.monotonic() + 60
            while any(alive(pid) for pid in pids):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        with hold(folder):  # and nobody holds it
            assert list((folder / "trials").iterdir()) == []


_SLEEPERS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells hide it from background jobs
from heedful.tuning import Goal, parse_keep, pool, tune
pool.COMMAND = ("-c", '''
import os, sys, threading, time
print('{"kind": "ready"}', flush=True)
sys.stdin.readline()
print("pid", os.getpid(), file=sys.stderr, flush=True)
sys.stdin.read()
''')
goal = Goal(keep=parse_keep("chrf >= 50"), cost="latency")
tune(sys.argv[1] + "/c.toml", goal=goal, output=sys.argv[2], workers=2)
"""


def _pids(folder, count):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        texts = [path.read_text() for path in (folder / "workers").glob("*.log")]
        found = [int(pid) for text in texts for pid in re.findall(r"pid (\d+)\n", text)]
        if len(found) == count:
            return found
        time.sleep(0.02)
    raise AssertionError("workers must have begun")


_COMMAND = """
import sys
from heedful.tuning import Choice, Goal, Space, parse_keep, pool, tune
pool.COMMAND = ("-c", f'''
import json, os, sys
print(json.dumps(dict(kind="ready")), flush=True)
for line in sys.stdin:
    told = json.loads(line)
    if told["kind"] == "measure":
        print(json.dumps(dict(kind="measured", milliseconds=[1.0] * len(told["runs"]))), flush=True)
        continue
    print("pid", os.getpid(), file=sys.stderr, flush=True)
    if {sys.argv[3] == "first"}:
        sys.stdin.read()  # for ever
    print(json.dumps(dict(kind="started")), flush=True)
    sys.stdin.readline()
    width = told["config"]["model"]["width"]
    done = dict(kind="done", quality=3.0 * width, latency=float(width))
    print(json.dumps(done), flush=True)
''')
space = Space(choices=(Choice(key="model.width", values=(8, 16, 24, 32)),))
goal = Goal(keep=parse_keep("chrf >= 50"), cost="latency")
more = {"resume": sys.argv[3] == "second"} | ({"storage": sys.argv[4]} if sys.argv[4:] else {})
tune(sys.argv[1] + "/c.toml", goal=goal, output=sys.argv[2], space=space, trials=4, **more)
"""


@pytest.mark.slow
@pytest.mark.parametrize("database", [False, True])
def test_two_commands_share_a_search_and_one_that_is_killed_loses_nothing(
    tmp_path, small, database
):
    (tmp_path / "c.toml").write_text(dump_toml(small), encoding="utf-8")
    folder = tmp_path / "out"
    storage = [f"sqlite:///{tmp_path / 'all.db'}"] if database else []
    command = [sys.executable, "-c", _COMMAND, str(tmp_path), str(folder)]
    first = subprocess.Popen([*command, "first", *storage])
    try:
        _pids(folder, 1)  # it trains, and will never be done
        second = subprocess.Popen([*command, "second", *storage])
        try:
            _wait(lambda: len(_trials(folder)) == 3, second)
            begun = {trial["params"]["model.width"] for trial in _trials(folder)}
            first.kill()
            assert second.wait(60) == 0
        finally:
            second.kill()
    finally:
        first.kill()
        first.wait()
    trials = _trials(folder)
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4]
    assert {trial["state"] for trial in trials} == {"complete"}
    widths = {trial["params"]["model.width"] for trial in trials}
    assert widths == {8, 16, 24, 32}
    (again,) = (trial for trial in trials if trial["params"]["model.width"] not in begun)
    assert again["number"] == 1, "the killed one trained the first"
    assert (folder / "journal.jsonl").exists() is not database


def _trials(folder):
    try:
        return json.loads((folder / "trials.json").read_text(encoding="utf-8"))["trials"]
    except FileNotFoundError:
        return []


def _wait(until, process):
    deadline = time.monotonic() + 60
    while not until():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


OWN_TASK = """
from heedful.tasks.translation.task import Translation
from heedful.tasks.translation.config import Config as Built_in
from typing import Literal


class Config(Built_in):
    task: Literal["digits"] = "digits"


class Digits(Translation):
    config_class = Config
    monitor = "token_accuracy"


class Outer:
    class Digits(Digits):
        pass
"""


@pytest.fixture
def own_task(tmp_path, monkeypatch):
    """A task in a module that is found in a folder of its own, which workers must be told of."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "my_digits.py").write_text(OWN_TASK, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    yield importlib.import_module("my_digits")
    del sys.modules["my_digits"]


def test_a_task_of_the_users_own_is_searched(own_task, digit_config, tmp_path):
    plain = dump(digit_config(steps=6, evaluate_every=1.0)) | {"task": "digits"}
    del plain["output"]
    config = parse_config(plain, source="my_digits:Digits")
    space = parse_space(["width=16,32"], config)
    found = tune(
        config,
        goal=goal("token_accuracy >= 0", "latency"),
        output=tmp_path / "out",
        space=space,
        trials=2,
        task="my_digits:Digits",
    )
    assert [trial.state for trial in found.trials] == ["complete", "complete"]
    assert all(0 <= trial.quality <= 100 for trial in found.trials)
    assert all(score <= 1 for trial in found.trials for _, score in trial.curve)
    assert found.config.task == "digits"


def test_a_task_that_no_worker_finds_is_an_error(own_task, tmp_path):
    config = own_task.Config()
    message = "task must be a class that workers can import, got Outer.Digits in my_digits. Put it"
    with pytest.raises(ConfigError, match=message):
        tune(config, goal=goal(), output=tmp_path / "out", task=own_task.Outer.Digits)
    assert not (tmp_path / "out").exists()


def test_a_quality_that_the_task_has_not_is_an_error(tmp_path, small):
    with pytest.raises(ConfigError, match=r'metric must be one of .*, got "accuracy"'):
        tune(small, goal=goal("accuracy >= 9"), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
