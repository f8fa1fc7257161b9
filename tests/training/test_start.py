"""Training from beginning to end: it learns, it is reproducible, and nothing stops it for good."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from heedful.allocation.plan import Plan
from heedful.config.file import dump_toml
from heedful.errors import ConfigError, DataError, RunError, TrainingError, UnsupportedError
from heedful.locks import LOCK
from heedful.tasks.catalog import load_config
from heedful.tasks.translation import losses
from heedful.tasks.translation import task as translation
from heedful.tasks.translation.config import Config, Train
from heedful.tasks.translation.task import Translation
from heedful.training import loop, start, stream
from heedful.training.checkpoint import WEIGHTS, read_pointer
from heedful.training.events import Evaluated, Finished, Message, Started, Step
from heedful.training.metrics import read_metrics
from heedful.training.run import load
from heedful.training.splits import training_examples
from heedful.training.start import train


def weights(folder, which="last"):
    return load_file(folder / "checkpoints" / getattr(read_pointer(folder), which) / WEIGHTS)


def assert_same_weights(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def scored(loss):
    return {"dev_loss": loss, "token_accuracy": 0.5}


def test_learns_and_leaves_a_usable_run(digit_config):
    events = []
    run = train(digit_config(steps=400, learning_rate=5e-3), on_event=events.append)
    assert run.translator.translate(["three one four", "nine"]) == ["三一四", "九"]
    assert isinstance(events[0], Started)
    assert events[0].examples == {"train": 600, "dev": 40, "test": 50}
    assert isinstance(events[-1], Finished)
    assert events[-1].step == 400
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(20, 401, 20))
    assert steps[-1].loss < steps[0].loss / 2
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [event.step for event in evaluated] == list(range(40, 401, 40))
    assert evaluated[-1].scores["token_accuracy"] > 0.9
    assert [line["step"] for line in read_metrics(run.folder) if "dev_loss" in line] == [
        event.step for event in evaluated
    ]


def test_the_best_checkpoint_has_the_lowest_dev_loss(digit_config, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 1.0])
    monkeypatch.setattr(Translation, "scores", lambda *_: scored(next(losses)))
    run = train(digit_config(steps=40, evaluate_every=0.25))
    assert [line["best"] for line in read_metrics(run.folder) if "best" in line] == [
        *(True, True, False, False)
    ]
    assert read_pointer(run.folder).best == "step-0000020"
    assert read_pointer(run.folder).last == "step-0000040"


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(digit_config, tmp_path):
    runs = [
        train(digit_config().model_copy(update={"seed": seed, "output": str(tmp_path / name)}))
        for seed, name in ((3, "a"), (3, "b"), (4, "c"))
    ]
    first, second, other = (weights(run.folder) for run in runs)
    assert_same_weights(first, second)
    assert not torch.equal(*(run["source_embedding.weight"] for run in (first, other)))


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_kill_9_then_resume_gives_the_result_of_an_undisturbed_training(
    digit_config, tmp_path, dropout
):
    config = digit_config(steps=400, checkpoint_seconds=0.0, patience=100)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"dropout": dropout})}
    )
    rarely = {"train": config.train.model_copy(update={"checkpoint_seconds": 1e6})}
    undisturbed = train(config.model_copy(update={"output": str(tmp_path / "whole"), **rarely}))
    killed = _train_and_kill(config, tmp_path)
    assert read_pointer(killed).last != "step-0000400", "the kill came too late to test anything"
    run = train(resume=killed, overrides=["train.checkpoint_seconds=1e6"])
    assert_same_weights(weights(undisturbed.folder), weights(run.folder))
    assert_same_weights(weights(undisturbed.folder, "best"), weights(run.folder, "best"))
    kept = ("step", "loss", "dev_loss")
    left, right = (
        [{key: line[key] for key in kept if key in line} for line in read_metrics(folder)]
        for folder in (undisturbed.folder, run.folder)
    )
    whole_windows = [line for line in left if line in right]
    # only the window that the kill fell into averages over fewer steps
    assert len(left) == len(right)
    assert len(whole_windows) >= len(left) - 1


def _train_and_kill(config: Config, folder: Path) -> Path:
    """Train in a process of its own and kill it somewhere in the middle."""
    file = folder / "config.toml"
    file.write_text(dump_toml(config), encoding="utf-8")
    run = Path(config.output)
    code = f"from heedful.training.start import train; train({str(file)!r})"
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            metrics = read_metrics(run) if run.exists() else []
            if metrics and metrics[-1]["step"] >= 100:
                break
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return run


@pytest.mark.parametrize("number, kind", [(signal.SIGINT, KeyboardInterrupt), (15, SystemExit)])
def test_an_interrupt_loses_no_step(digit_config, tmp_path, number, kind):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    config = digit_config(steps=30, checkpoint_seconds=1e6, evaluate_every=0.5)
    undisturbed = train(config.model_copy(update={"output": str(tmp_path / "whole")}))
    try:
        with pytest.raises(kind):
            train(
                config,
                on_event=lambda event: isinstance(event, Step) and os.kill(os.getpid(), number),
            )
    finally:
        signal.signal(signal.SIGINT, before)
    assert read_pointer(tmp_path / "run").last in ("step-0000020", "step-0000021")
    resumed = train(resume=tmp_path / "run")
    assert_same_weights(weights(undisturbed.folder), weights(resumed.folder))


def test_an_interrupt_while_the_last_evaluation_runs_is_obeyed_after_it(digit_config, monkeypatch):
    honest = Translation.scores

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return honest(*arguments)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Translation, "scores", interrupted)
    events = []
    try:
        with pytest.raises(KeyboardInterrupt):
            train(digit_config(steps=2, evaluate_every=1.0), on_event=events.append)
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(events[-1], Finished)
    assert load(events[-1].run).evaluated


def test_trains_with_tensorboard_and_every_step_is_there_once(digit_config, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    config = digit_config(steps=12, tensorboard=True, checkpoint_seconds=1e6, evaluate_every=0.5)

    def stop(event):
        if isinstance(event, Step) and event.step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, on_event=stop)
    run = train(resume=tmp_path / "run")
    board = EventAccumulator(str(run.folder / "tensorboard"))
    board.Reload()
    for name, steps in (("loss", [*range(1, 13)]), ("dev_loss", [6, 12])):
        lines = [(line["step"], line[name]) for line in read_metrics(run.folder) if name in line]
        shown = [(event.step, pytest.approx(event.value)) for event in board.Scalars(name)]
        assert lines == shown
        assert [step for step, _ in lines] == steps


def test_a_run_that_is_finished_has_nothing_to_resume(digit_config):
    run = train(digit_config(steps=10))
    before, events = weights(run.folder), []
    train(resume=run.folder, on_event=events.append)
    assert_same_weights(before, weights(run.folder))
    assert any(isinstance(event, Message) and "nothing is left" in event.text for event in events)


def test_an_optimised_run_is_not_trained_on(digit_config):
    run = train(digit_config(steps=2))
    Plan().save(run.folder / "plan.toml")
    (run.folder / "manifest.json").unlink()
    message = "a run to resume must be as it was trained, got .*run, optimised since"
    with pytest.raises(RunError, match=message):
        train(resume=run.folder)


@pytest.fixture
def own_files(digit_config, digit_files, tmp_path, monkeypatch):
    """A config whose files lie in a folder of their own, named as seen from there."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    names = {name: f"{name}.tsv" for name in ("train", "dev", "test")}
    for name in names.values():
        (folder / name).write_bytes((digit_files / name).read_bytes())
    config = digit_config(steps=5)
    return config.model_copy(update={"data": config.data.model_copy(update=names)})


def test_resuming_notices_that_the_training_data_changed(own_files):
    run = train(own_files)
    with Path("train.tsv").open("a", encoding="utf-8") as file:
        file.write("one\t一\n")
    with pytest.raises(RunError, match=r"got other examples. Restore .* or train anew\.$"):
        train(resume=run.folder)
    about = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    about["versions"]["babel"] = "2.1"  # of which built-in phrases are made
    (run.folder / "run.json").write_text(json.dumps(about), encoding="utf-8")
    (run.folder / "manifest.json").unlink()
    with pytest.raises(RunError, match=rf"with babel 2\.1, now {re.escape(version('babel'))}\.$"):
        train(resume=run.folder)


@pytest.mark.parametrize("change", ["gone", "another"])
def test_a_run_goes_on_from_anywhere_with_the_held_out_examples_it_has(
    own_files, tmp_path, monkeypatch, change
):
    config = own_files.model_copy(
        update={"train": own_files.train.model_copy(update={"steps": 12, "evaluate_every": 0.5})}
    )
    whole = train(config.model_copy(update={"output": str(tmp_path / "whole")}))
    train_until(config, 6)
    for name in ("dev.tsv", "test.tsv"):
        Path(name).unlink()
        if change == "another":
            Path(name).write_text("one\t九\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run = train(resume="run")
    assert_same_weights(weights(whole.folder), weights(run.folder))
    measured = [
        [line["dev_loss"] for line in read_metrics(one.folder) if "dev_loss" in line]
        for one in (whole, run)
    ]
    assert measured[0] == measured[1]
    assert len(run.examples("test")) == 50


def train_until(config, step):
    """Stop a training behind a step, as Ctrl-C would."""

    def stop(event):
        if isinstance(event, Evaluated) and event.step >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, on_event=stop)


def test_examples_in_two_splits_are_counted_said_and_left_out_of_training(own_files):
    lines = Path("test.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    with Path("train.tsv").open("a", encoding="utf-8") as file:
        file.writelines(lines[:7])
    given = Path("train.tsv").read_text(encoding="utf-8").count("\n")
    events = []
    run = train(own_files, on_event=events.append)
    count = run.about["overlaps"]["test"]["train"]
    assert 7 <= count <= run.about["overlaps"]["test"]["examples"] == 50
    said = [event.text for event in events if isinstance(event, Message)]
    start = f"{count} of the 50 test examples are in the train split too: training leaves "
    assert any(text.startswith(start) for text in said)
    left_out = run.about["left_out"]
    assert 7 <= left_out == given - run.about["examples"]["train"]
    held_out = run.examples("dev") + run.examples("test")
    assert not {*map(run.task.identity, training_examples(run))} & {
        *map(run.task.identity, held_out)
    }
    before = weights(run.folder)
    resumed = train(resume=run.folder, overrides=[f"train.steps={run.config.train.steps + 2}"])
    assert resumed.about["left_out"] == left_out
    assert any(not torch.equal(value, before[name]) for name, value in weights(run.folder).items())


def test_an_input_whose_answers_contradict_each_other_is_said(tmp_path):
    (tmp_path / "a.fa").write_text(">1 x\nACGT\n>2 y\nACGT\n>3 x\nGGGG\n", encoding="utf-8")
    (tmp_path / "b.fa").write_text(">4 x\nTTTT\n", encoding="utf-8")
    config = {
        "task": "classify-sequence",
        "output": str(tmp_path / "run"),
        "data": {"name": "files", "train": str(tmp_path / "a.fa"), "dev": str(tmp_path / "b.fa")},
        "model": {"width": 8, "heads": 2, "layers": 0},
        "train": {"steps": 1, "precision": "fp32"},
    }
    events = []
    train(config, on_event=events.append)
    said = [event.text for event in events if isinstance(event, Message)]
    assert said == ["1 of the 2 training inputs is there with answers that contradict each other"]


@pytest.mark.parametrize("by_hand", [False, True], ids=["--set", "edited"])
@pytest.mark.parametrize("stopped", [False, True], ids=["finished", "stopped"])
def test_a_raised_limit_goes_on(digit_config, tmp_path, stopped, by_hand):
    config = digit_config(steps=20, evaluate_every=0.25)
    if stopped:
        train_until(config, 10)
    else:
        train(config)
    events = []
    overrides = ["train.steps=40"]
    if by_hand:
        file = tmp_path / "run" / "config.toml"
        file.write_text(file.read_text().replace("steps = 20", "steps = 40"), encoding="utf-8")
        overrides = []
    run = train(resume=tmp_path / "run", overrides=overrides, on_event=events.append)
    assert (events[-1].step, run.config.train.steps) == (40, 40)
    evaluated = [event.step for event in events if isinstance(event, Evaluated)]
    assert evaluated == [*range(20 if stopped else 30, 41, 10)], "a quarter of 40 each"
    again = []
    train(resume=run.folder, on_event=again.append)
    assert isinstance(again[-1], Message)
    assert "(train.steps = 40); nothing is left to do. To go on, raise it" in again[-1].text


@pytest.mark.parametrize("key", ["model.width=64", "train.learning_rate=1e-4", "seed=2"])
def test_only_limits_may_change_on_the_way(digit_config, tmp_path, key):
    run = train(digit_config(steps=2))
    before = (run.folder / "config.toml").read_bytes()
    said = f"that is gone on with may change train.steps, .* alone, got .*{key}"
    with pytest.raises(ConfigError, match=said):
        train(resume=run.folder, overrides=["train.steps=4", key])
    assert (run.folder / "config.toml").read_bytes() == before


def test_overrides_need_something_to_override(digit_config, tmp_path):
    with pytest.raises(ConfigError, match="overrides must go with a file or a run, got"):
        train(digit_config(), overrides=["train.steps=4"])
    (tmp_path / "a.toml").write_text(dump_toml(digit_config()), encoding="utf-8")
    assert train(tmp_path / "a.toml", overrides=["train.steps=3"]).config.train.steps == 3


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    digit_config, monkeypatch
):
    config = digit_config(steps=50, checkpoint_seconds=0.0)
    honest = losses.LOSSES["cross_entropy"]
    calls = iter(range(1_000))

    def poisoned(*args, **settings):
        return honest(*args, **settings) * (float("nan") if next(calls) >= 17 else 1.0)

    monkeypatch.setitem(losses.LOSSES, "cross_entropy", poisoned)
    with pytest.raises(
        TrainingError,
        match=r"must stay a number, got nan .* at step 17.* good checkpoint, of step 17, is intact",
    ):
        train(config)
    stored = weights(Path(config.output))
    assert read_pointer(Path(config.output)).last == "step-0000017"
    assert all(tensor.isfinite().all() for tensor in stored.values())
    assert load(config.output).translator.translate(["one"])


def test_an_untrained_model_is_not_called_good(digit_config, monkeypatch):
    honest = losses.LOSSES["cross_entropy"]
    monkeypatch.setitem(losses.LOSSES, "cross_entropy", lambda *a, **k: honest(*a, **k) * math.inf)
    with pytest.raises(TrainingError, match=r"Nothing is learned yet: .* untrained model alone"):
        train(digit_config(steps=50))


def test_a_dev_loss_that_is_no_number_stops(digit_config, monkeypatch):
    monkeypatch.setattr(Translation, "scores", lambda *_: scored(math.inf))
    with pytest.raises(TrainingError, match=r"dev_loss on the dev .* a number, got inf at step 4"):
        train(digit_config(steps=40))


def test_patience_stops_early(digit_config, monkeypatch):
    monkeypatch.setattr(Translation, "scores", lambda *_: scored(1.0))
    events = []
    train(digit_config(steps=100, evaluate_every=0.1, patience=3), on_event=events.append)
    assert events[-1].reason == "no better for a while"
    assert events[-1].step == 40  # the first evaluation is the best, then three that are not better


@pytest.mark.parametrize(
    "limits, least, most",
    [
        ({"steps": 7, "epochs": 50.0, "minutes": 9.0}, 7, 7),
        ({"steps": 10_000, "epochs": 0.5, "minutes": 9.0}, 1, None),
        ({"steps": 10_000, "epochs": 50.0, "minutes": 1e-4}, 1, 20),
    ],
    ids=["steps", "epochs", "minutes"],
)
def test_the_nearest_limit_ends_the_training(digit_config, monkeypatch, limits, least, most):
    events, epochs = [], []
    honest = stream.size_batches

    def counted(*arguments, **settings):
        batches = honest(*arguments, **settings)
        epochs.append(len(batches))
        return batches

    monkeypatch.setattr(stream, "size_batches", counted)
    train(digit_config(**limits), on_event=events.append)
    if most is None:  # half of one epoch, rounded up to whole steps
        assert len(epochs) == 1
        least = most = -(-epochs[0] // 2)
    assert least <= events[-1].step <= most


def test_minutes_are_kept(digit_config):
    began = time.monotonic()
    train(digit_config(steps=None, minutes=0.05))
    assert 3 <= time.monotonic() - began < 30


def test_without_a_limit_nothing_begins(digit_config, tmp_path):
    with pytest.raises(ConfigError, match="must set one of steps, epochs, minutes, got none"):
        train(digit_config(steps=None))
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_built_is_refused_before_anything_is_read(
    digit_config, tmp_path, monkeypatch
):
    config = digit_config()
    config = config.model_copy(update={"model": config.model.model_copy(update={"heads": 3})})
    monkeypatch.setattr(Translation, "read", None)
    with pytest.raises(ConfigError, match="heads must divide width, got heads=3, width=32"):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("both", [True, False])
def test_needs_a_config_or_a_run(digit_config, both):
    settings = {"config": digit_config(), "resume": "x"} if both else {}
    with pytest.raises(ConfigError, match="must get a config or a run to resume, got"):
        train(**settings)


def test_never_writes_into_a_folder_with_something_in_it(digit_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("all I have")
    with pytest.raises(RunError, match="output must be a new or an empty folder, got"):
        train(digit_config())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_an_output_below_a_file_is_an_error_before_any_work(digit_config, tmp_path):
    (tmp_path / "file").write_text("")
    config = digit_config().model_copy(update={"output": str(tmp_path / "file" / "run")})
    with pytest.raises(RunError, match=r"must be writable, got: Not a directory"):
        train(config)


def test_pairs_beyond_the_limit_are_not_learned_from_but_held_out(digit_config):
    config = digit_config(steps=3)
    data = config.data.model_copy(update={"max_length": 4})
    events = []
    run = train(config.model_copy(update={"data": data}), on_event=events.append)
    held_out = [example for split in ("dev", "test") for example in run.examples(split)]
    assert len(held_out) == 90
    long = [len(example.target) > 4 for example in held_out[:40]]
    assert events[0].examples == {
        "train": 600 - events[0].skipped + sum(long),
        "dev": 40,
        "test": 50,
    }
    assert run.about["skipped"] == events[0].skipped > sum(long) > 0


def test_a_limit_that_leaves_nothing_is_an_error(digit_config):
    config = digit_config()
    data = config.data.model_copy(update={"max_length": 1})
    long = config.model_copy(
        update={"data": data, "tokens": config.tokens.model_copy(update={"source": "characters"})}
    )
    with pytest.raises(
        DataError,
        match=r"train split .* that is not too long, got 600 longer ones\. Raise",
    ):
        train(long)


def test_picks_the_next_free_folder(digit_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = digit_config(steps=2).model_copy(update={"output": None})
    assert [str(train(config).folder) for _ in range(2)] == [
        "runs/translation-1",
        "runs/translation-2",
    ]


def test_two_trainings_at_once_get_two_folders(digit_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = digit_config(steps=2).model_copy(update={"output": None})
    honest, others = translation.load_data, []

    def loaded(*arguments):  # another one begins while the folder of the first is still empty
        monkeypatch.setattr(translation, "load_data", honest)
        others.append(train(config).folder)
        return honest(*arguments)

    monkeypatch.setattr(translation, "load_data", loaded)
    folders = [str(train(config).folder), *map(str, others)]
    assert folders == ["runs/translation-1", "runs/translation-2"]
    assert all(load(folder).about for folder in folders)


def test_a_run_is_trained_by_one_process_and_says_by_which(digit_config, tmp_path):
    config = digit_config(steps=20)
    folder, tried = tmp_path / "run", []

    def listen(event):
        if isinstance(event, Step):
            before = weights(folder)
            with pytest.raises(
                RunError, match=r"run must not be in use, got: held by process \d+ "
            ):
                train(resume=folder)
            assert_same_weights(before, weights(folder))
            tried.append(event.step)

    train(config, on_event=listen)
    assert tried == [20]
    assert not (folder / LOCK).exists()


def test_a_training_that_never_began_leaves_no_folder(digit_config, tmp_path):
    config = digit_config()
    data = config.data.model_copy(update={"dev": str(tmp_path / "absent.tsv")})
    with pytest.raises(DataError, match="absent"):
        train(config.model_copy(update={"data": data, "output": str(tmp_path / "a" / "b")}))
    assert not (tmp_path / "a").exists()


def test_where_processes_read_other_examples_nothing_begins(digit_config, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "alike", lambda fingerprint: False)
    with pytest.raises(DataError, match="all processes must read the same examples, got others"):
        train(digit_config(steps=2))
    assert not (tmp_path / "run").exists()


def test_about_says_how_the_run_came_about(digit_config):
    run = train(digit_config(steps=2))
    about = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert about["seed"] == 1
    assert torch.__version__.startswith(about["versions"]["torch"])  # which may leave out +cu130
    assert about["precision"] == "fp32"
    assert about["parameters"] == sum(p.numel() for p in run.translator.model.parameters())


TWO = """
import json, sys, time
from pathlib import Path
import torch
from heedful.tasks.translation.task import Translation
from heedful.training import loop
from heedful.training.checkpoint import read_pointer
from heedful.training.start import train

folder, drawn = Path(sys.argv[1]), {}
loop.LOG_EVERY = 1
honest_step, honest_scores = loop.Training._step, Translation.scores
rank = lambda: torch.distributed.get_rank()
# what is measured differs between processes: the main one's counts
loop.faster_in_bf16 = lambda *_, **__: rank() == 1
wrong = {"dev_loss": float("inf"), "token_accuracy": 0.0}
Translation.scores = lambda *a: honest_scores(*a) if rank() == 0 else wrong

def step(training, *rest):
    if training.folder.name == "halved" and training.progress.step == stop:
        raise KeyboardInterrupt
    honest_step(training, *rest)
    draws = drawn.setdefault(training.folder.name, [])
    draws.append((training.learner.precision, torch.rand(1).item()))

honest_save = loop.save_checkpoint

def save(folder, model, optimizer, progress, *, best):
    time.sleep(progress.finished)  # a slow disk
    honest_save(folder, model, optimizer, progress, best=best)

loop.Training._step, loop.save_checkpoint = step, save
train(folder / "like_one.toml")
assert read_pointer(folder / "like_one").last == "step-0000006-2", "it returned too early"
train(folder / "whole.toml")
stop = 3
try:
    train(folder / "halved.toml")
except KeyboardInterrupt:
    pass
torch.distributed.barrier()
stop = None
train(resume=folder / "halved")
(folder / f"{rank()}.json").write_text(json.dumps(drawn))
torch.distributed.destroy_process_group()
"""


def test_a_task_with_a_learner_of_its_own_says_at_once_that_it_takes_one_process(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(start, "accelerator", lambda: SimpleNamespace(num_processes=2))
    config = {"task": "control", "train": {"steps": 1}, "output": str(tmp_path / "run")}
    with pytest.raises(UnsupportedError, match="control must be trained in one process, got 2"):
        train(config)
    assert not (tmp_path / "run").exists()


def _in_two_processes(folder, code):
    script = folder / "two.py"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    result = subprocess.run(
        [*command, "--standalone", str(script), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_train_like_one(digit_config, tmp_path, monkeypatch):
    if not torch.distributed.is_available():
        pytest.skip("torch was built without distributed training")
    for name, dropout in (("like_one", 0.0), ("whole", 0.3), ("halved", 0.3)):
        config = digit_config(steps=6, precision="auto", checkpoint_seconds=0.0, evaluate_every=0.5)
        model = config.model.model_copy(update={"dropout": dropout})
        config = config.model_copy(update={"output": str(tmp_path / name), "model": model})
        (tmp_path / f"{name}.toml").write_text(dump_toml(config), encoding="utf-8")
    _in_two_processes(tmp_path, TWO)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for name in ("like_one", "whole", "halved"):
        assert load(tmp_path / name).about["processes"] == 2
        assert {precision for precision, _ in first[name] + second[name]} == {"fp32"}
        draws = [draw for _, draw in first[name] + second[name]]
        assert len(draws) == len(set(draws)) == 12, "two processes, or two steps, drew the same"
    # stopped and gone on: bit for bit what it would have been, in both processes
    assert (first["halved"], second["halved"]) == (first["whole"], second["whole"])
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "halved"))
    # two batches at a time in one process: the same steps up to rounding
    honest = stream.size_batches

    def joined(*arguments, **rest):
        batches = honest(*arguments, **rest)
        return [a + b for a, b in zip(batches[::2], batches[1::2], strict=False)]

    monkeypatch.setattr(stream, "size_batches", joined)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    config = load_config(tmp_path / "like_one.toml", overrides=["train.precision=fp32"])
    alone = train(config.model_copy(update={"output": str(tmp_path / "alone")})).folder
    for key, count in (("loss", 6), ("dev_loss", 2)):
        one, two = (
            [line[key] for line in read_metrics(folder) if key in line]
            for folder in (alone, tmp_path / "like_one")
        )
        assert len(one) == count
        assert two == pytest.approx(one, rel=1e-5)
    for name, tensor in weights(alone).items():
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding alone
            continue
        torch.testing.assert_close(
            weights(tmp_path / "like_one")[name], tensor, rtol=0, atol=1e-4, msg=name
        )


def test_train_settings_have_one_default_place():
    assert Train(steps=5).learning_rate == Config().train.learning_rate
