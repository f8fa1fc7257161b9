"""What the loop decides: when a training ends and is measured, which checkpoint is the best."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from heedful.config.base import Count, Train
from heedful.errors import TrainingError, UnsupportedError
from heedful.tasks.base import Task
from heedful.training import loop
from heedful.training.checkpoint import read_pointer
from heedful.training.events import Evaluated, Finished, Step
from heedful.training.loop import Ready, Training


class Eight:
    """Eight numbers, all alike."""

    sizes = np.ones((8, 1), np.int64)
    amounts = np.full(8, 3)

    def __len__(self):
        return 8

    def batch(self, rows, device, *, random=None):
        return torch.ones(len(rows), 2)

    def fingerprint(self):
        return [8]


class Fast(Train):
    """How long."""

    batch_size: Count = 3  # three batches an epoch


class Given:
    """A task that has the scores it is given."""

    monitor, unit = "dev_loss", "numbers"

    def __init__(self, scores, *, higher=False, **settings):
        self.given = iter(scores)
        self.higher, self.batch_limit = higher, 3
        self.done = []
        train = Fast(**{"precision": "fp32", "evaluate_every": 0.25, **settings})
        self.config = SimpleNamespace(train=train, seed=1, task="given")

    def learner(self, model):
        return None

    def proceed(self, model, done):
        self.done.append(done)

    def loss(self, model, batch):
        return model(batch).square().sum(), len(batch)

    def scores(self, model, dev):
        assert not model.training
        assert torch.is_inference_mode_enabled()
        return next(self.given)

    def monitor_is_better_higher(self):
        return self.higher


def run(task, folder):
    events = []
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    training = Training(task, Ready(Eight(), Eight()), nn.Linear(2, 1), folder, events.append)
    training.run()
    return training, events


def test_the_task_hears_before_each_step_how_far_the_training_is(tmp_path):
    for number, limit in enumerate(({"steps": 6}, {"epochs": 2.0})):
        task = Given(losses(*range(9)), **limit)
        run(task, tmp_path / str(number))
        assert task.done == pytest.approx([step / 6 for step in range(6)])


def losses(*values):
    return [{"dev_loss": value, "other": 1.0} for value in values]


def steps_of(events, kind=Evaluated):
    return [event.step for event in events if isinstance(event, kind)]


def test_it_is_measured_at_every_share_and_at_the_end(tmp_path):
    training, events = run(Given(losses(4, 3, 2, 1), steps=10), tmp_path)
    assert steps_of(events) == [3, 5, 8, 10]
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, training.progress.finished) == ("limit reached", True)
    assert training.reached() == ["train.steps = 10"]
    assert (training.progress.epoch, training.progress.batch) == (3, 1), "three batches an epoch"


@pytest.mark.parametrize(
    "limits, steps, reached",
    [
        ({"steps": 7, "epochs": 9.0}, 7, "train.steps = 7"),
        ({"steps": 7, "epochs": 2.0}, 6, "train.epochs = 2.0"),
        ({"epochs": 1.5}, 5, "train.epochs = 1.5"),
        ({"steps": 6, "epochs": 2.0}, 6, "train.steps = 6"),
    ],
)
def test_the_first_limit_reached_ends_it(tmp_path, limits, steps, reached):
    training, events = run(Given(itertools.cycle(losses(1.0)), **limits), tmp_path)
    assert events[-1].step == steps
    assert training.reached()[0] == reached


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_one_and_patience_follow_the_direction_of_the_monitor(tmp_path, higher):
    shares = (0.25, 0.5, 0.5, 0.75, 0.5, 0.625, 0.75, 1.0)
    scores = losses(*(shares if higher else (-share for share in shares)))
    task = Given(scores, higher=higher, steps=80, evaluate_every=0.1, patience=3)
    training, events = run(task, tmp_path)
    assert [event.best for event in events if isinstance(event, Evaluated)] == [
        *(True, True, False, True, False, False, False)
    ]
    assert (events[-1].step, events[-1].reason) == (56, "no better for a while")
    assert read_pointer(tmp_path).best == "step-0000032"
    assert training.progress.best_score == (0.75 if higher else -0.75)
    assert training.reached() == ["train.patience = 3"]


def test_what_is_logged_are_means_over_the_steps_between(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    _, events = run(Given(itertools.cycle(losses(1.0)), steps=5), tmp_path)
    said = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in said] == [2, 4]
    assert [event.fraction for event in said] == [0.4, 0.8]
    assert {event.unit for event in said} == {"numbers"}
    for event in said:
        assert event.per_second > 0
        rest = (1 - event.fraction) / event.fraction
        assert event.remaining == pytest.approx(event.seconds * rest)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_monitor_that_is_no_number_ends_it_with_words(tmp_path, bad):
    with pytest.raises(TrainingError, match=rf"dev_loss on .* got {bad} at step 3\. Nothing"):
        run(Given(losses(bad), steps=10), tmp_path)


def test_a_monitor_that_is_missing_is_named(tmp_path):
    with pytest.raises(UnsupportedError, match="must give the monitor dev_loss, got other, more"):
        run(Given([{"other": 1.0, "more": 2.0}], steps=10), tmp_path)


def test_every_default_of_a_task_that_the_loop_asks_for_is_there():
    for name in ("learner", "loss", "scores", "monitor", "unit", "monitor_is_better_higher"):
        assert hasattr(Task, name), name
