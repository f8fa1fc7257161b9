"""Description of images keeps to what every task keeps to, and learns what it is shown."""

from typing import ClassVar

import numpy as np
import pytest

from heedful.bench.entries.describe import most_frequent
from heedful.data.scenes import parse_scene
from heedful.errors import DataError
from heedful.evaluation import evaluate
from heedful.explaining.occlusion import occlusion
from heedful.metrics.texts import text_metric
from heedful.tasks.describe.captions import places_of_words
from heedful.tasks.describe.task import Describe
from heedful.tasks.describe.writing import Description
from heedful.testing.tasks import TaskContract
from heedful.training.start import train

SCENE = "scene: small red circle at 8,9; large blue ring at 40,24"


class TestDescribe(TaskContract):
    task = Describe
    inputs = (SCENE, "scene: large white cross at 24,24; noise 3")
    budget = "exact_match 50"
    learns = ("train.steps=60", "train.learning_rate=0.01", "model.word_dropout=0.0")
    remembered = 0.3
    tables: ClassVar = {
        "data": {"examples": 60, "dev": 12, "test": 10},
        "model": {"width": 16, "heads": 2, "patch": 16, "decoder_layers": 1, "feedforward": 16},
        "train": {"steps": 6, "batch_size": 16},
        "decode": {"max_length": 6},
    }

    def expected(self, answers, examples):
        said = [answer.text for answer in answers]
        captions = [example.caption for example in examples]
        found = {}
        for name in ("exact_match", "chrf", "bleu"):
            metric, read = text_metric(name, captions)
            found[name] = metric.score(read(said))
        return found

    def test_answers_tell_what_is_wrong_and_where_was_looked(self, run):
        task = run.task
        example = run.examples("test")[0]
        data = task.encode([example])
        (answer,) = task.answer(run.model, data)
        assert answer.cut
        assert task.warnings(example, answer)[0].endswith("cut at 6 tokens (decode.max_length)")
        assert task.to_json(example, answer)["image"] == example.image
        things = len(parse_scene(example.image).things)
        assert answer.named == 3 * things
        assert task.remark(data, [answer, answer]) == {
            "cut": 2,
            "named": 6 * things,
            "elsewhere": 2 * answer.elsewhere,
        }
        picture = task.picture(run.model, example, answer)
        assert [each.word for each in picture.maps] == answer.text.split()
        assert sum(map(sum, picture.maps[0].weights)) == pytest.approx(1, abs=0.01)
        assert task.details([example])["beam"] == 1

    def test_a_file_of_examples_is_a_table(self, config, tmp_path):
        image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
        image.new("RGB", (60, 60)).save(tmp_path / "a.png")
        (tmp_path / "a.tsv").write_text("path\tcaption\na.png\tnothing\n", encoding="utf-8")
        (example,) = Describe.read_file(config, tmp_path / "a.tsv")
        assert example.caption == "nothing"
        data = {"name": "table", "train": str(tmp_path / "a.tsv"), "dev": str(tmp_path / "a.tsv")}
        other = type(config)(data=data)
        assert Describe.read_training(other) == Describe.read(other).dev
        assert Describe.read_file(other, tmp_path / "a.tsv")[0].hash != example.hash  # 64, not 48

    def test_what_is_neither_image_nor_scene_is_refused(self, run):
        with pytest.raises(DataError, match="no_such must be an image, got no such file"):
            run.task.parse("no_such")
        assert run.task.blank("") == {"image": "", "caption": None, "cut": False}


def test_it_learns_to_describe(tmp_path):
    """Far better than the sentence that is most frequent."""
    run = train(
        {
            "task": "describe",
            "output": str(tmp_path / "run"),
            "data": {"examples": 600, "dev": 20, "test": 60},
            "model": {"width": 32, "decoder_layers": 1, "dropout": 0.0, "word_dropout": 0.0},
            "train": {"steps": 100, "learning_rate": 0.01, "evaluate_every": 1.0},
        }
    )
    splits = Describe.read(run.config)
    metric = Describe.metric("chrf")
    trivial = metric.score(metric.statistics(most_frequent(run.task, splits), splits.test))
    assert evaluate(run).scores["chrf"].low > trivial + 5
    assert found_things(run, splits.test[:40]) > 0.05


def found_things(run, examples):
    """How often occlusion's first cell of a word is of the thing that it names, beyond chance."""
    found, chance = [], []
    patch = run.config.model.patch
    for example in examples:
        written = run.task.vocabulary.encode([example.caption])[0][1:-1]
        said = Description(text=example.caption, written=tuple(written), cut=False)
        question = run.task.question(run.model, example, said)
        [named] = places_of_words([example], [question.targets], run.config.data, patch=patch)
        for cells, weights in zip(named, occlusion(run.model, question).weights, strict=True):
            if cells.any():
                found.append(cells[weights.argmax()])
                chance.append(cells.mean())
    return np.mean(found) - np.mean(chance)
