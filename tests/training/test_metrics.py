"""The log survives a kill in the middle of a line."""

import pytest

from heedful.errors import MissingExtraError, RunError
from heedful.training.events import Evaluated, Step
from heedful.training.metrics import MetricsLog, read_metrics


def step(number):
    return Step(
        step=number,
        fraction=0.5,
        loss=2.0,
        learning_rate=0.1,
        tokens_per_second=9.0,
        seconds=1.0,
        remaining=3.0,
    )


def evaluated(number):
    return Evaluated(step=number, fraction=0.5, dev_loss=1.5, token_accuracy=0.25, best=True)


def test_keeps_what_is_written(tmp_path):
    log = MetricsLog(tmp_path)
    log.write(step(20))
    log.write(evaluated(25))
    first, second = read_metrics(tmp_path)
    assert (first["step"], first["loss"]) == (20, 2.0)
    assert (second["step"], second["dev_loss"], second["best"]) == (25, 1.5, True)


def test_no_file_means_no_measurements(tmp_path):
    assert read_metrics(tmp_path) == []


def test_forgets_what_came_after_and_what_was_cut_off(tmp_path):
    log = MetricsLog(tmp_path)
    for number in (20, 40, 60):
        log.write(step(number))
    with log.path.open("a") as file:
        file.write('{"step": 4')
    assert [line["step"] for line in read_metrics(tmp_path)] == [20, 40, 60]
    log.forget_after(40)
    assert [line["step"] for line in read_metrics(tmp_path)] == [20, 40]
    log.write(step(60))
    assert [line["step"] for line in read_metrics(tmp_path)] == [20, 40, 60]


def test_an_unwritable_log_is_named(tmp_path):
    log = MetricsLog(tmp_path)
    log.path.mkdir()
    with pytest.raises(RunError, match=r"metrics\.jsonl must be writable, got: Is a directory"):
        log.write(step(20))


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path, tensorboard=True)
    log.write(step(20))
    log.write(evaluated(25))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(20, 2.0)]
    assert [(e.step, e.value) for e in events.Scalars("dev_loss")] == [(25, 1.5)]


def test_tensorboard_missing_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"got none\. Install it: pip install 'heedful"):
        MetricsLog(tmp_path, tensorboard=True)
