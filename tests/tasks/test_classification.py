"""A classification says its data, its network and its logits; what follows from them is right."""

import re
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from heedful.data.examples import Splits
from heedful.errors import DataError, RunError
from heedful.nn.pooling import AttentionPooling
from heedful.tasks.classification import (
    Classification,
    check_labels,
    labels_of,
    read_labels,
)
from heedful.tasks.columns import Columns


@dataclass(frozen=True)
class Point:
    at: tuple[float, ...]
    label: str = ""


class Side(Classification[Point]):
    """Which of three numbers is the largest."""

    config_class = example_class = None

    @classmethod
    def read(cls, config):
        raise NotImplementedError

    def encode(self, examples, *, training=False):
        at = np.array([each.at for each in examples], np.float32)
        return Columns(at=at, label=self.numbers(examples))

    def build(self):
        raise NotImplementedError

    def parse(self, text):
        raise NotImplementedError

    def logits(self, model, batch):
        return model(batch["at"])


CONFIG = SimpleNamespace(train=SimpleNamespace(label_smoothing=0.1, batch_size=2))
POINTS = [Point((3.0, 1.0, 2.0), "a"), Point((0.0, 1.0, 4.0), "b"), Point((1.0, 9.0, 2.0), "b")]
SHARES = np.exp([each.at for each in POINTS])
SHARES /= SHARES.sum(1, keepdims=True)


@pytest.fixture
def model():
    made = nn.Linear(3, 3, bias=False)
    made.weight.data = torch.eye(3)
    return made


@pytest.fixture
def task():
    return Side(CONFIG, ["a", "b", "c"])


def test_answers_are_shares_of_all_labels_in_the_order_of_the_examples(task, model):
    answers = task.answer(model, task.encode(POINTS))
    assert [answer.label for answer in answers] == ["a", "c", "b"]
    shares = [[answer.shares[label] for label in "abc"] for answer in answers]
    assert shares == pytest.approx(SHARES, rel=1e-5)
    assert task.show(answers[0]) == f"a\t{SHARES[0, 0]:.0%}"
    assert task.to_json(POINTS[0], answers[0])["label"] == "a"
    assert task.blank("x") == {"input": "x", "label": None, "shares": {}}


def test_loss_scores_and_rows_are_those_of_the_logits(task, model):
    data, truth = task.encode(POINTS), [0, 1, 1]
    logs = np.log(SHARES)
    smooth = -(0.9 * logs[range(3), truth] + 0.1 * logs.mean(1)).sum()
    batch = data.batch([0, 1, 2], "cpu")
    loss, count = task.loss(model, batch)
    assert (loss.item(), count) == (pytest.approx(smooth, rel=1e-5), 3)
    scores = task.scores(model, data)
    assert scores["dev_loss"] == pytest.approx(-logs[range(3), truth].mean(), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(200 / 3)
    rows = task.rows(model, batch)
    assert rows.truth.tolist() == truth
    assert rows.example.tolist() == [0, 1, 2]
    assert rows.outputs.tolist() == [list(each.at) for each in POINTS]


def test_a_label_that_nobody_knows_has_no_number(task):
    assert task.numbers([Point((0.0,)), Point((0.0,), "c")]).tolist() == [-100, 2]
    with pytest.raises(DataError, match=re.escape("a label must be one of a, b, c, got 'x'")):
        task.numbers([Point((0.0,), "x")])


def test_labels_are_learned_saved_and_read(task, tmp_path):
    assert list(Side.fit(CONFIG, POINTS).labels) == ["a", "b"]
    (tmp_path / "task").mkdir()
    task.save(tmp_path)
    assert Side.load(CONFIG, tmp_path).labels == {"a": 0, "b": 1, "c": 2}
    with pytest.raises(DataError, match=re.escape("must have two labels or more, got ['b']")):
        labels_of(POINTS[1:])


@pytest.mark.parametrize("labels", ['{"a": 0}', "[1, 2]", '"ab"', '["a", "a"]', '["a"]', "[[]]"])
def test_labels_that_are_none_are_refused(tmp_path, labels):
    (tmp_path / "labels.json").write_text(labels)
    with pytest.raises(RunError, match=r"labels.json must (be whole|have two labels or more)"):
        read_labels(tmp_path / "labels.json")


def test_held_out_labels_are_those_of_the_training_split():
    assert check_labels(Splits(POINTS, POINTS[:1], [])).dev == POINTS[:1]
    for name in ("dev", "test"):
        splits = Splits(POINTS, **{"dev": [], "test": [], name: [Point((0.0,), "z")]})
        with pytest.raises(DataError, match=rf"the {name} split must have labels .*, got 'z'"):
            check_labels(splits)


def test_pooling_weights_are_the_mean_over_heads():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.pooling = AttentionPooling(width=4, heads=2)

        def forward(self, at):
            return self.pooling(at.reshape(-1, 3, 1).repeat(1, 1, 4))[:, 0]

    torch.manual_seed(0)
    task, model = Side(CONFIG, ["a", "b"]), Pooled().eval()
    weights = task.pooling_weights(model, task.encode([Point(p.at, "a") for p in POINTS]))
    assert weights.shape == (3, 3)
    assert weights.sum(1).tolist() == pytest.approx([1, 1, 1], rel=1e-5)
