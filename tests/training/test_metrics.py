"""The log survives a kill in the middle of a line."""

import os

import pytest

from heedful.errors import MissingExtraError, RunError
from heedful.training.events import Evaluated, Step
from heedful.training.metrics import MetricsLog, Window, read_metrics


def step(number, unit="tokens", **values):
    return Step(
        step=number,
        fraction=0.5,
        loss=2.0,
        learning_rate=0.1,
        per_second=9.0,
        unit=unit,
        seconds=1.0,
        remaining=3.0,
        values=values,
    )


def evaluated(number):
    scores = {"dev_loss": 1.5, "token_accuracy": 0.25}
    return Evaluated(step=number, fraction=0.5, scores=scores, best=True)


def test_keeps_what_is_written(tmp_path):
    log = MetricsLog(tmp_path)
    log.write(step(20))
    log.write(evaluated(25))
    first, second = read_metrics(tmp_path)
    assert (first["step"], first["loss"]) == (20, 2.0)
    assert (second["step"], second["dev_loss"], second["best"]) == (25, 1.5, True)


def test_what_is_no_number_is_null(tmp_path):
    scores = {"dev_loss": 1.5, "correlation": float("nan"), "perplexity": float("inf")}
    MetricsLog(tmp_path).write(Evaluated(step=2, fraction=0.5, scores=scores, best=True))
    (row,) = read_metrics(tmp_path)
    assert (row["dev_loss"], row["correlation"], row["perplexity"]) == (1.5, None, None)


def test_a_line_is_one_flat_table_in_the_words_of_the_task(tmp_path):
    """As before other tasks came in: `tokens_per_second` of a translation."""
    log = MetricsLog(tmp_path)
    log.write(step(20))
    log.write(step(40, "images", generator=0.5, discriminator=2.0))
    log.write(evaluated(40))
    rows = read_metrics(tmp_path)
    common = {"step", "fraction", "loss", "learning_rate", "seconds", "remaining"}
    assert rows[0].keys() == {*common, "tokens_per_second"}
    assert rows[1].keys() == {*common, "images_per_second", "generator", "discriminator"}
    assert (rows[1]["images_per_second"], rows[1]["generator"]) == (9.0, 0.5)
    assert rows[2].keys() == {"step", "fraction", "dev_loss", "token_accuracy", "best"}


def test_a_window_means_values_over_steps_and_the_loss_over_decisions():
    window = Window()
    window.add(6.0, 3, 10, {"a": 1.0})
    window.add(2.0, 1, 20, {"a": 4.0, "b": 1.0})
    assert (window.loss, window.count, window.amount, window.steps) == (8.0, 4, 30, 2)
    assert window.means() == {"a": 2.5, "b": 0.5}


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


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "[]", '{"step": "20"}', '{"step": -1}', '{"step": NaN}', '"step"']
)
def test_a_line_that_is_no_measurement_is_left_out(tmp_path, line):
    log = MetricsLog(tmp_path)
    log.write(step(20))
    with log.path.open("a") as file:
        file.write(line + "\n")
    log.write(step(40))
    assert [each["step"] for each in read_metrics(tmp_path)] == [20, 40]
    log.forget_after(40)
    assert len(log.path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.mkdir(), "got: Is a directory"),
        (lambda path: path.symlink_to("nowhere"), "got: a link to nothing"),
        (os.mkfifo, "got: no ordinary file"),
    ],
)
def test_a_log_that_is_no_file_is_not_overlooked(tmp_path, make, message):
    log = MetricsLog(tmp_path)
    make(log.path)
    for read in (lambda: read_metrics(tmp_path), lambda: log.forget_after(3)):
        with pytest.raises(RunError, match=rf"metrics\.jsonl must be readable, {message}"):
            read()


def test_an_unwritable_log_is_named(tmp_path):
    log = MetricsLog(tmp_path)
    log.path.mkdir()
    with pytest.raises(RunError, match=r"metrics\.jsonl must be writable, got: Is a directory"):
        log.write(step(20))


def scalars(folder, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    with MetricsLog(tmp_path, tensorboard=True) as log:
        log.write(step(20))
        log.write(evaluated(25))
    assert scalars(tmp_path, "loss") == [(20, 2.0)]
    assert scalars(tmp_path, "dev_loss") == [(25, 1.5)]


def test_tensorboard_has_every_step_once_after_it_was_gone_on(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    first = MetricsLog(tmp_path, tensorboard=True).__enter__()  # a kill closes nothing
    for number in (20, 40, 60):
        first.write(step(number))
    second = MetricsLog(tmp_path, tensorboard=True)
    second.forget_after(45)
    with second:
        for number in (60, 80):
            second.write(step(number))
    assert [number for number, _ in scalars(tmp_path, "loss")] == [20, 40, 60, 80]
    first.__exit__()


def test_nothing_is_written_before_it_begins(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    MetricsLog(tmp_path, tensorboard=True)
    assert list(tmp_path.iterdir()) == []


def test_where_tensorboard_cannot_write_it_says_so(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    (tmp_path / "tensorboard").write_text("mine")
    with pytest.raises(RunError, match=r"tensorboard must be writable, got: \w+"):
        MetricsLog(tmp_path, tensorboard=True).__enter__()
    assert (tmp_path / "tensorboard").read_text() == "mine"


def test_tensorboard_missing_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"got none\. Install it: pip install 'heedful"):
        MetricsLog(tmp_path, tensorboard=True)
