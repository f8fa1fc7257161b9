"""Recommendation keeps to what every task keeps to, and learns what planted users follow."""

import math
import re
from typing import ClassVar

import numpy as np
import pytest

import heedful
from heedful.bench.entries.recommend import most_popular
from heedful.errors import DataError, RunError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.occlusion import occlusion
from heedful.nn.attention import Attention
from heedful.tasks.catalog import parse_config
from heedful.tasks.recommend.histories import History
from heedful.tasks.recommend.planted import series_of
from heedful.tasks.recommend.task import Recommend
from heedful.testing.tasks import TaskContract
from heedful.training.start import build

SMALL = {"users": 80, "series": 4, "episodes": 6, "followed": 2, "length": 8}


class Both(TaskContract):
    __test__ = False
    task = Recommend
    inputs = ("crime 1, crime 2", "jazz 3, crime 1, jazz 4", "garden 2")
    budget = "ndcg@10 50"
    remembered = 80

    def expected(self, answers, examples):
        gains, hits, areas = [], [], []
        for answer, example in zip(answers, examples, strict=True):
            (right,) = example.relevant
            hits.append(right in answer.items)
            gains.append(1 / math.log2(2 + answer.items.index(right)) if hits[-1] else 0)
            areas.append(answer.area / 100)
            assert not set(answer.items) & set(example.items)
        means = [100 * float(np.mean(each)) for each in (gains, hits, areas)]
        return dict(zip(("ndcg@10", "recall@10", "auc"), means, strict=True))


class TestSasrec(Both):
    __test__ = True
    model: ClassVar = {"width": 16, "heads": 2, "layers": 1, "feedforward": 16, "dropout": 0.0}
    tables: ClassVar = {"data": SMALL, "model": model, "train": {"steps": 8}}
    learns = ("train.steps=40", "train.learning_rate=0.02")

    def test_the_picture_is_of_the_history_that_was_read(self, run):
        task, example = run.task, run.task.parse("jazz 3, crime 1, jazz 4")
        answer = task.answer(run.model, task.encode([example]))[0]
        picture = task.picture(run.model, example, answer)
        assert (picture.source, picture.target) == (example.items, answer.items[:1])
        assert sum(picture.weights[0]) == pytest.approx(1)

    def test_an_item_that_nobody_had_is_refused(self, run):
        words = "must be one of the 24 that training met, got 'jaz 3'. Did you mean 'jazz 3'?"
        with pytest.raises(DataError, match=re.escape(words)):
            run.task.parse("crime 1, jaz 3")
        with pytest.raises(DataError, match="got ''"):
            run.task.parse("crime 1, ")
        for text in ("crime 1\rjazz 3", "crime 1\njazz 3"):
            with pytest.raises(DataError, match=re.escape(f"stand in one line, got {text!r}")):
                run.task.parse(text)

    def test_what_new_items_are_is_said(self, run):
        task, new = run.task, History(("crime 1",), ("never met",))
        data = task.encode([new])
        answers = task.answer(run.model, data)
        assert task.remark(data, answers) == {"cut": 0, "new": 1}
        assert answers[0].area == 0


class TestDin(Both):
    __test__ = True
    model: ClassVar = {"name": "din", "width": 16, "hidden": 16, "dropout": 0.0}
    tables: ClassVar = {"data": SMALL, "model": model, "train": {"steps": 8}}
    learns = ("train.steps=40", "train.learning_rate=0.02")

    def test_the_picture_is_of_the_best_item(self, run):
        task, example = run.task, run.task.parse("jazz 3, crime 1, jazz 4")
        first, other = (task.attention(run.model, example, item) for item in ("jazz 5", "garden 1"))
        assert first.sum() == pytest.approx(1)
        assert not np.allclose(first, other)


@pytest.mark.parametrize("name", ["sasrec", "din"])
def test_without_attention_there_is_no_picture(name):
    tables = {"task": "recommend", "data": SMALL, "model": {"name": name, "attention": False}}
    config = parse_config(tables)
    task = Recommend.fit(config, Recommend.read(config).train)
    model = build(task).eval()
    assert not [part for part in model.modules() if isinstance(part, Attention)]
    example = task.parse("jazz 3, crime 1")
    answer = task.answer(model, task.encode([example]))[0]
    assert len(answer.items) == 10
    assert task.picture(model, example, answer) is None


def test_training_needs_two_items():
    with pytest.raises(DataError, match=re.escape("must have two items or more, got ['x']")):
        Recommend.fit(parse_config({"task": "recommend"}), [History(("x",), ("x",))])


@pytest.mark.parametrize("items", ['{"a": 0}', "[1, 2]", '["a", "a"]', '["a"]'])
def test_items_that_are_none_are_refused(tmp_path, items):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "items.json").write_text(items)
    with pytest.raises(RunError, match=r"items.json must (be whole|have two items or more)"):
        Recommend.load(parse_config({"task": "recommend"}), tmp_path)


@pytest.mark.parametrize("name, margin", [("sasrec", 15), ("din", 15)])
def test_it_learns_what_users_follow(name, margin, tmp_path):
    data = {"users": 300, "series": 5, "episodes": 7, "followed": 2, "length": 10, "leaps": 0.1}
    model = {"name": name, "width": 32, "dropout": 0.0}
    tables = {"task": "recommend", "data": data, "model": model, "output": str(tmp_path / "run")}
    train = {"steps": 90, "learning_rate": 0.01, "evaluate_every": 0.5}
    run = heedful.train(parse_config({**tables, "train": train}))
    splits = Recommend.read(run.config)
    gain = run.task.metric("ndcg@10")
    answers = run.task.answer(run.model, run.task.encode(splits.test))
    trivial = most_popular(run.task, splits)
    found, known = (gain.score(gain.statistics(a, splits.test)) for a in (answers, trivial))
    assert found > known + margin, (found, known)
    for method in (occlusion, gradient_attention):
        assert found_series(run, splits.test[:80], answers[:80], method) > 0.05


def test_where_the_order_means_nothing_all_that_is_left_is_right(tmp_path):
    draw, rows = np.random.default_rng(0), ["user,item"]
    for user in range(60):  # each has most of one half of 60 items, in any order
        for item in draw.permutation(30)[:20]:
            rows.append(f"u{user},i{item + 30 * (user % 2)}")
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    data = {"name": "table", "file": str(tmp_path / "rows.csv"), "time": "", "split": "random"}
    model = {"width": 16, "layers": 1, "feedforward": 16, "positions": "none", "dropout": 0.0}
    tables = {"data": data, "model": model, "train": {"steps": 40, "learning_rate": 0.02}}
    run = heedful.train(
        parse_config({"task": "recommend", **tables, "output": str(tmp_path / "x")})
    )
    splits, recall = Recommend.read(run.config), Recommend.metrics[1]
    popular = list(most_popular(run.task, splits))
    known = recall.score(recall.statistics(popular, splits.test))
    assert heedful.evaluate(run).scores["recall@10"].score > known + 25
    ready, heard = run.task.encode(splits.train, training=True), []
    loss = run.model.loss
    run.model.loss = lambda *given, ordered: heard.append(ordered) or loss(*given, ordered=ordered)
    run.task.loss(run.model, ready.batch([0, 1], "cpu"))
    assert heard == [False]


def found_series(run, examples, answers, method):
    """How often the first item of a map is of the series that is recommended, beyond chance."""
    found, chance = [], []
    for example, answer in zip(examples, answers, strict=True):
        question = run.task.question(run.model, example, answer)
        same = [series_of(each) == series_of(answer.items[0]) for each in question.pieces]
        found.append(same[int(method(run.model, question).weights[0].argmax())])
        chance.append(np.mean(same))
    return np.mean(found) - np.mean(chance)
