"""One worker: what it does with a command, and that it ends when nobody listens."""

import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from heedful.config.base import dump
from heedful.errors import RunWarning
from heedful.evaluation import evaluate
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_text.task import ClassifyText
from heedful.tasks.translation.task import Translation
from heedful.training.events import Evaluated, Started
from heedful.training.run import load
from heedful.training.start import train
from heedful.tuning import latency, worker
from heedful.tuning.costs import Costs
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.worker import Stopped, train_one, work


def goal(keep, cost="macs"):
    return Goal(keep=parse_keep(keep), cost=cost)


class Search:
    """The other end of the line: keeps what is sent, and stops at one message."""

    def __init__(self, stop_at=None):
        self.sent, self.stop_at = [], stop_at

    def send(self, message):
        self.sent.append(message)

    def receive(self):
        return {"stop": len(self.sent) == self.stop_at}

    def __iter__(self):
        return iter((self.send, self.receive))

    @property
    def kinds(self):
        return [message["kind"] for message in self.sent]


def command(config, wanted):
    return {"kind": "train", "config": dump(config), "goal": wanted.to_json()}


def test_trains_and_tells_what_was_measured(digit_config):
    search = Search()
    config = digit_config(steps=30, evaluate_every=0.4)
    last = work(command(config, goal("chrf >= 5")), search.send, search.receive)
    assert search.kinds == ["started", "evaluated", "evaluated", "evaluated"]
    run = load(config.output)
    assert [message["share"] for message in search.sent[1:]] == [0.4, 0.8, 1.0]
    assert all(message["score"] > 0 for message in search.sent[1:])
    assert last["kind"] == "done"
    assert last["quality"] == pytest.approx(evaluate(run, split="dev").scores["chrf"].score)
    assert last["latency"] is None
    json.dumps([last, *search.sent])


SCORES = [(3.0, 0.1), (1.0, 0.4), (2.0, 0.3)]


@pytest.fixture
def told(monkeypatch):
    """What each evaluation of a translation measures."""

    def tell(scores):
        left = [{"dev_loss": loss, "token_accuracy": share} for loss, share in scores]
        monkeypatch.setattr(Translation, "scores", lambda *_: left.pop(0))

    return tell


def test_a_score_of_the_training_is_that_of_the_best_checkpoint(told, digit_config):
    told(SCORES)
    search = Search()
    config = digit_config(steps=9, evaluate_every=0.4)
    last = train_one(config, goal("dev_loss <= 1"), search.send, search.receive)
    assert last["quality"] == 1.0
    assert [message["score"] for message in search.sent[1:]] == [3.0, 1.0, 2.0]


def test_a_metric_is_measured_anew_though_the_training_has_a_score_of_its_name(told, digit_config):
    told(SCORES)
    search = Search()
    config = digit_config(steps=9, evaluate_every=0.4)
    last = train_one(config, goal("token_accuracy >= 5"), search.send, search.receive)
    whole = evaluate(load(config.output), split="dev").scores["token_accuracy"].score
    assert last["quality"] == pytest.approx(whole)


@pytest.mark.parametrize("keep", ["accuracy >= 1", "dev_loss <= 9"])
def test_another_task_is_held_to_its_own_metrics(tmp_path, keep):
    tables = {"task": "classify-text", "output": str(tmp_path / "run")}
    tables["data"] = {"examples": 400, "dev": 60, "test": 60, "languages": ["en", "fi", "zh"]}
    config = parse_config(tables | {"train": {"steps": 6, "evaluate_every": 1.0}})
    with Costs(config, goal(keep), ClassifyText) as costs:
        assert costs({}) > costs({"model.width": 16}) > 0
    search = Search()
    last = work(command(config, goal(keep)), search.send, search.receive)
    (evaluated,) = (message for message in search.sent if message["kind"] == "evaluated")
    scores = evaluate(load(config.output), split="dev").scores
    assert evaluated["score"] == pytest.approx(scores["accuracy"].score)
    assert last["quality"] == pytest.approx(
        scores["loss" if "loss" in keep else "accuracy"].score, rel=1e-4
    )


def test_a_score_that_nobody_measures_is_an_error(told, digit_config):
    told([(3.0, 0.1)])
    search = Search()
    message = work(command(digit_config(steps=2, evaluate_every=1.0), goal("recall >= 5")), *search)
    assert message["error"] == "ConfigError"
    assert 'metric must be one of "dev_loss", "token_accuracy", got "recall"' in message["message"]


def test_latency_is_measured_where_it_is_wanted(digit_config, monkeypatch):
    monkeypatch.setattr(latency, "EXAMPLES", 1)
    search = Search()
    wanted = goal("dev_loss <= 9", "latency")
    config = digit_config(steps=4)
    last = train_one(config, wanted, search.send, search.receive)
    assert 0 < last["latency"] < 1_000
    measure = {"kind": "measure", "runs": [config.output, config.output]}
    message = work(measure, search.send, search.receive)
    assert message["kind"] == "measured"
    assert len(message["milliseconds"]) == 2
    assert min(message["milliseconds"]) > 0


@pytest.mark.parametrize("at", [1, 2, 3])
def test_stopped_at_any_event_it_leaves_a_run_that_is_whole(digit_config, at):
    """The listener raises inside the training: nothing half is left, and it can be gone on with."""
    search = Search(stop_at=at)
    config = digit_config(steps=20, evaluate_every=0.25)
    assert work(command(config, goal("chrf >= 5")), search.send, search.receive) == {
        "kind": "stopped"
    }
    assert len(search.sent) == at
    run = Path(config.output)
    evaluated = [message for message in search.sent if message["kind"] == "evaluated"]
    with nullcontext() if evaluated else pytest.warns(RunWarning, match="before its first evalu"):
        assert load(run).answer(["one"])
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]
    reached = []
    train(resume=run, on_event=lambda event: reached.append(event))
    assert reached[-1].step == 20
    assert sum(isinstance(event, Evaluated) for event in reached) == 4 - len(evaluated)


def test_stopping_is_no_error_of_heedful(digit_config):
    search = Search(stop_at=1)
    with pytest.raises(Stopped):
        train_one(digit_config(steps=5), goal("chrf >= 5"), search.send, search.receive)


def test_settings_that_lead_nowhere_fail_and_others_may_do_better(told, digit_config):
    told([(float("nan"), 0.0)])
    search = Search()
    last = work(command(digit_config(steps=4), goal("chrf >= 5")), search.send, search.receive)
    assert last["kind"] == "failed"
    assert "dev split must be a number, got nan" in last["reason"]


@pytest.mark.parametrize("quality", [float("nan"), float("inf")])
def test_a_quality_that_is_no_number_fails_and_others_may_do_better(
    told, digit_config, monkeypatch, quality
):
    told(SCORES)
    monkeypatch.setattr(worker, "_quality", lambda run, name, scores: quality)
    search = Search()
    config = digit_config(steps=9, evaluate_every=0.4)
    last = work(command(config, goal("chrf >= 5")), search.send, search.receive)
    assert last == {
        "kind": "failed",
        "reason": f"chrf on the dev split must be a number, got {quality}",
    }


def test_what_would_meet_every_trial_is_an_error(digit_config):
    config = digit_config(steps=4)
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"train": "no/such/file.tsv"})}
    )
    search = Search()
    last = work(command(config, goal("chrf >= 5")), search.send, search.receive)
    assert (last["kind"], last["error"], search.sent) == ("error", "DataError", [])
    assert "no/such/file.tsv" in last["message"]


def test_a_training_tells_that_it_began_before_its_first_step(digit_config):
    seen = []
    train(digit_config(steps=1), on_event=seen.append)
    assert isinstance(seen[0], Started)


def test_the_process_trains_and_ends_when_stdin_does(digit_config, tmp_path):
    config = digit_config(steps=100_000, evaluate_every=1e-4)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "heedful.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    with process, process.stdin, process.stdout:
        try:
            assert json.loads(process.stdout.readline()) == {"kind": "ready"}
            for message in (command(config, goal("chrf >= 5")), {"stop": False}, {"stop": False}):
                process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            kinds = [json.loads(process.stdout.readline())["kind"] for _ in range(3)]
            assert kinds == ["started", "evaluated", "evaluated"]
            began = time.monotonic()
            process.stdin.close()
            assert process.wait(30) == 0
            assert time.monotonic() - began < 30
        finally:
            process.kill()
    assert load(config.output).about["seed"] == 1


def test_what_libraries_print_does_not_come_between_messages():
    code = (
        "import os, sys; from heedful.tuning.worker import own_stdout\n"
        "answers = own_stdout()\n"
        "print('noise', flush=True); os.write(1, b'more\\n')\n"
        "answers.write('一\\n'); answers.flush()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == "一\n".encode()
    assert done.stderr == b"noise\nmore\n"
