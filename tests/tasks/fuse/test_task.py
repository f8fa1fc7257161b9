"""Fusion keeps to what every task keeps to, learns, and does better with more to go by."""

import dataclasses
from typing import ClassVar

import pytest

from heedful.bench.baselines import most_frequent
from heedful.evaluation import evaluate
from heedful.tasks.fuse.observations import Observation
from heedful.tasks.fuse.task import Fuse
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import train

pytest.importorskip("sklearn", reason="the extra images is not installed")


class TestFuse(ClassificationContract):
    task = Fuse
    inputs = ("image=digit:3:20; sound=tones:3; text=thrxe", "text=nine", '{"image": "digit:9"}')
    budget = "accuracy 50"
    learns = (
        *("train.steps=80", "train.learning_rate=0.01", "train.label_smoothing=0.0"),
        *("model.modality_dropout=0.0", "model.dropout=0.0"),
    )
    remembered = 90
    tables: ClassVar = {
        "data": {"images": 100, "repeats": 1, "dev": 20, "test": 20},
        "sound": {"bands": 10, "masks": 0},
        "model": {"width": 8, "heads": 2, "layers": 1, "feedforward": 8},
        "train": {"steps": 4, "batch_size": 16},
    }

    def test_the_picture_is_of_what_was_read(self, run):
        task, example = run.task, run.task.parse("image=digit:3; text=three")
        (answer,) = task.answer(run.model, task.encode([example]))
        picture = task.picture(run.model, example, answer)
        assert picture.source == ("image", "sound", "text")
        assert picture.target == (answer.label,)
        assert sum(picture.weights[0]) == pytest.approx(1)
        assert picture.weights[0][1] < min(picture.weights[0][0], picture.weights[0][2])

    def test_what_is_missing_is_counted(self, run):
        task = run.task
        examples = [task.parse("text=one"), task.parse("image=digit:3; text=one")]
        assert task.remark(task.encode(examples), []) == {
            "without_image": 1,
            "without_sound": 2,
            "without_text": 0,
        }
        assert [task.kind(each) for each in examples] == ["text", "image + text"]
        answer = task.answer(run.model, task.encode(examples))[0]
        assert task.to_json(examples[0], answer)["image"] is None
        assert task.blank("")["label"] is None

    def test_modalities_that_are_not_read_change_nothing(self, run, config, fitted):
        model = {**config.model.model_dump(), "modalities": ("text",)}
        config = config.model_copy(update={"model": type(config.model)(**model)})
        task = Fuse(config, list(fitted.labels), fitted.vocabulary)
        whole = run.examples("dev")[:4]
        bare = [dataclasses.replace(each, image="", sound="") for each in whole]
        answers = [task.answer(run.model, task.encode(each)) for each in (whole, bare)]
        assert answers[0] == answers[1]

    def test_tables_are_read_with_the_columns_of_the_training(self, config, tmp_path):
        path = tmp_path / "a.tsv"
        path.write_text("text\tlabel\timage\tsound\none\t1\t\t\ntwo\t2\t\t\n", encoding="utf-8")
        wanted = [Observation(text="one", label="1"), Observation(text="two", label="2")]
        assert Fuse.read_file(config, path) == wanted
        table = {"name": "table", "train": str(path), "dev": str(path), "test": str(path)}
        other = type(config)(data=table)
        assert Fuse.read_training(other) == Fuse.read(other).test == wanted
        assert Fuse.fit(other, [dataclasses.replace(e, text="") for e in wanted]).vocabulary.size


def test_it_learns_from_all_three(tmp_path):
    """Far better than the most frequent label."""
    run = train(
        {
            "task": "fuse",
            "output": str(tmp_path / "run"),
            "data": {"images": 700, "dev": 20, "test": 100, "image_noise": 10, "typos": 0.1},
            "sound": {"bands": 10, "masks": 0},
            "model": {"width": 16, "layers": 1, "modality_dropout": 0.0},
            "train": {"steps": 60, "learning_rate": 0.01, "evaluate_every": 1.0},
        }
    )
    splits = Fuse.read(run.config)
    metric = Fuse.metric("accuracy")
    trivial = metric.score(metric.statistics(most_frequent(run.task, splits), splits.test))
    assert evaluate(run).scores["accuracy"].low > trivial + 30
