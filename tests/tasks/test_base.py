"""What follows from what a task says: defaults, and trainings that go on bit for bit."""

import itertools
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from heedful.config.base import Count, DataPath, Section, TaskConfig, Train
from heedful.data.examples import Splits
from heedful.errors import ConfigError, UnsupportedError
from heedful.metrics.classification import accuracy
from heedful.metrics.metric import mean_metric
from heedful.tasks.base import Task, device_of
from heedful.training.checkpoint import WEIGHTS, read_pointer
from heedful.training.events import Evaluated, Step
from heedful.training.metrics import read_metrics
from heedful.training.run import load
from heedful.training.start import train


@dataclass(frozen=True)
class Point:
    """A number and whether it is above zero."""

    x: float
    above: int = 0


@dataclass(frozen=True)
class Said:
    """An answer."""

    above: int


class Points:
    """Examples made ready; while training, numbers are moved a little."""

    def __init__(self, examples):
        self.examples = list(examples)
        self.sizes = np.ones((len(self.examples), 1), np.int64)
        self.amounts = np.ones(len(self.examples), np.int64)

    def __len__(self):
        return len(self.examples)

    def batch(self, rows, device, *, random=None):
        x = np.array([[self.examples[row].x] for row in rows], np.float32)
        if random is not None:
            x = x + random.normal(0, 0.1, x.shape).astype(np.float32)
        truth = torch.tensor([self.examples[row].above for row in rows], device=device)
        return torch.from_numpy(x).to(device), truth

    def fingerprint(self):
        return [hash(tuple(map(hash, self.examples))) % 2**31]


class PointTrain(Train):
    """How long."""

    batch_size: Count = 7


class Where(Section):
    """From where."""

    name: str = "made"
    extra: DataPath | None = None


class Config(TaskConfig):
    """One training, whole."""

    task: Literal["points"] = "points"
    data: Where = Where()
    train: PointTrain = PointTrain(steps=12, precision="fp32", learning_rate=0.05)


class Above(Task[Point, Said]):
    """Is a number above zero?"""

    config_class, example_class = Config, Point
    metrics = (accuracy(answer=attrgetter("above"), truth=attrgetter("above")),)

    @classmethod
    def read(cls, config):
        draw = np.random.default_rng(config.seed)
        points = [Point(x, int(x > 0)) for x in draw.normal(size=60).tolist()]
        return Splits(points[:40], points[40:50], points[50:])

    @classmethod
    def fit(cls, config, examples):
        return cls(config)

    def save(self, folder):
        pass

    @classmethod
    def load(cls, config, folder):
        return cls(config)

    def encode(self, examples, *, training=False):
        return Points(examples)

    def build(self):
        return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.4), nn.ReLU(), nn.Linear(8, 2))

    def loss(self, model, batch):
        x, truth = batch
        return nn.functional.cross_entropy(model(x), truth, reduction="sum"), len(truth)

    def answer(self, model, data):
        x, _ = data.batch(range(len(data)), device_of(model))
        logits = model(x)
        assert not logits.requires_grad, "whoever asks for answers learns nothing from them"
        return [Said(each) for each in logits.argmax(-1).tolist()]

    def parse(self, text):
        return Point(float(text))


class TwoOptimizers:
    """A learner that moves two parts by turns, as a GAN does, with noise of its own."""

    def __init__(self, model):
        self.model = model
        self.optimizers = {
            "first": torch.optim.Adam(model[0].parameters(), betas=(0.0, 0.9)),
            "last": torch.optim.RMSprop(model[3].parameters()),
        }

    def step(self, batch, rate):
        x, truth = batch
        told = {}
        for name, optimizer in self.optimizers.items():
            optimizer.zero_grad()
            logits = self.model(x + 0.1 * torch.randn_like(x))
            loss = nn.functional.cross_entropy(logits, truth)
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            told[name] = loss.item()
        return told


class Played(Above):
    """The same with a learner of its own, watched by what is better when it is higher."""

    monitor = "accuracy"
    drawn = itertools.count(1)

    def learner(self, model):
        return TwoOptimizers(model)

    def scores(self, model, dev):
        torch.rand(next(self.drawn))  # what is drawn while measuring does not matter
        said = self.answer(model, dev)
        right = [a.above == e.above for a, e in zip(said, dev.examples, strict=True)]
        return {"accuracy": float(np.mean(right))}


def config_for(folder, **settings):
    given = {"steps": 12, "precision": "fp32", "learning_rate": 0.05, "evaluate_every": 0.25}
    return Config(output=str(folder), train=PointTrain(**{**given, **settings}))


def weights(folder, which="last"):
    return load_file(folder / "checkpoints" / getattr(read_pointer(folder), which) / WEIGHTS)


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


# ---- trained, stopped, gone on with --------------------------------------------------------------


@pytest.mark.parametrize("task", [Above, Played])
@pytest.mark.parametrize("stop", [1, 6, 7, 11])
def test_dropout_augmentation_and_learners_go_on_bit_for_bit(tmp_path, monkeypatch, task, stop):
    monkeypatch.setattr("heedful.training.loop.LOG_EVERY", 1)
    whole = train(config_for(tmp_path / "whole"), task=task)

    def stopped(event):
        if isinstance(event, Step) and event.step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config_for(tmp_path / "halved", checkpoint_seconds=0.0), task=task, on_event=stopped)
    torch.rand(7)
    run = train(resume=tmp_path / "halved", task=task)
    assert_same(weights(whole.folder), weights(run.folder))
    assert_same(weights(whole.folder, "best"), weights(run.folder, "best"))
    said = [
        [
            {k: v for k, v in line.items() if k not in ("seconds", "remaining")}
            for line in read_metrics(one.folder)
        ]
        for one in (whole, run)
    ]
    for line in said[0] + said[1]:
        line.pop("examples_per_second", None)
    assert said[0] == said[1]
    assert whole.answer(["-2", "3"]) == run.answer(["-2", "3"])


def test_a_run_of_somebodys_own_task_opens_with_it_alone(tmp_path):
    run = train(config_for(tmp_path / "run"), task=Above)
    assert [type(x) for x in run.answer(["1.5"])] == [Said]
    assert run.about["task"] == "points"
    assert load(run.folder, task=Above).examples("test") == Above.read(run.config).test
    with pytest.raises(ConfigError, match=r'got "points".*--task-from module:Class'):
        load(run.folder)


def test_a_monitor_that_is_no_score_is_named(tmp_path):
    class Wrong(Above):
        monitor = "f1"

    with pytest.raises(UnsupportedError, match="must give the monitor f1, got dev_loss"):
        train(config_for(tmp_path / "run"), task=Wrong)


def test_the_learner_gets_the_rate_of_the_schedule_and_its_values_are_logged(tmp_path):
    events = []
    train(config_for(tmp_path / "run", steps=20), task=Played, on_event=events.append)
    (step,) = (event for event in events if isinstance(event, Step))
    assert step.values.keys() == {"first", "last"}
    assert step.loss == pytest.approx(step.values["first"])
    assert all(e.scores.keys() == {"accuracy"} for e in events if isinstance(e, Evaluated))


# ---- defaults ------------------------------------------------------------------------------------


@pytest.fixture
def task():
    return Above(config_for("unused"))


def test_dev_scores_are_the_mean_loss_of_a_decision(task):
    torch.manual_seed(0)
    model, dev = task.build().eval().double(), task.encode(task.read(task.config).dev)
    dev.batch = lambda rows, device: (
        torch.tensor([[dev.examples[row].x] for row in rows], dtype=torch.float64),
        torch.tensor([dev.examples[row].above for row in rows]),
    )
    with torch.inference_mode():
        found = task.scores(model, dev)
        logits = model(torch.tensor([[each.x] for each in dev.examples], dtype=torch.float64))
    chosen = [
        -row.log_softmax(-1)[each.above].item()
        for row, each in zip(logits, dev.examples, strict=True)
    ]
    assert found == {"dev_loss": pytest.approx(np.mean(chosen), rel=1e-12)}


def test_what_is_not_said_is_refused_in_words(task):
    with pytest.raises(UnsupportedError, match=r"one file of examples is read, got points, which"):
        task.read_file(task.config, "x")
    with pytest.raises(UnsupportedError, match="row by row to be optimised, got points, which"):
        task.rows(None, None)

    class Neither(Above):
        loss = Task.loss

    with pytest.raises(NotImplementedError, match="Neither must have a loss or a learner"):
        Neither(task.config).loss(None, None)


def test_what_is_said_of_answers_by_default(task):
    example, answer = Point(1.0, 1), Said(1)
    assert task.show(answer) == str(answer)
    assert task.to_json(example, answer) == asdict(answer)
    assert task.to_json(example, 3) == {"answer": 3}
    assert task.blank("x") == {"input": "x", "answer": None}
    assert (task.warnings(example, answer), task.kind(example)) == ([], "")
    assert task.remark(task.encode([example]), [answer]) == task.details([example]) == {}
    assert task.amount([answer] * 3) == 3
    assert task.identity(example) == Point(1.0, 1)
    labels = [SimpleNamespace(label=label) for label in ("a", 0, "", None)]
    assert [[*task.right_answers(each)] for each in (*labels, example)] == [["a"], [0], [], [], []]
    assert task.learner(None) is task.picture(None, example, answer) is task.truth(None) is None
    assert task.problem(task.config) is None
    assert task.batch_limit == 7


def test_the_training_split_and_timed_work_are_those_of_everything_else(task):
    assert task.read_training(task.config) == task.read(task.config).train
    torch.manual_seed(0)
    model, other = task.build().eval(), task.build().eval()
    data = task.encode(task.read(task.config).dev)
    work = task.work(model, data)
    with torch.inference_mode():
        assert work(model) == task.answer(model, data)
        assert work(other) == task.answer(other, data)


def test_paths_in_data_become_absolute(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = task.config.model_copy(update={"data": Where(name="x", extra="a/b.txt")})
    located = task.located(config)
    assert located.data == Where(name="x", extra=str(Path("a/b.txt").absolute()))
    assert config.data.extra == "a/b.txt"
    assert task.located(task.config).data == Where()

    class Bare(TaskConfig):
        task: Literal["bare"] = "bare"

    assert task.located(Bare()) == Bare()


@pytest.mark.parametrize("higher", [True, False])
def test_a_monitor_has_the_direction_of_the_metric_of_its_name(higher):
    class Watched(Above):
        metrics = (mean_metric("other"), mean_metric("share", higher_is_better=higher))
        monitor = "share"

    assert Watched.monitor_is_better_higher() == higher
    assert Watched.metric("share").higher_is_better == higher
    assert Watched.metric("dev_loss") is None
    assert not Above.monitor_is_better_higher()
