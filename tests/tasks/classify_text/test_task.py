"""Text classification keeps to what every task keeps to, and shows what the pooling read."""

from typing import ClassVar

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_text.task import ClassifyText
from heedful.tasks.classify_text.texts import Labelled
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import build


class TestClassifyText(ClassificationContract):
    task = ClassifyText
    inputs = ("3 Hunde und 2 Katzen", "le 3 janvier", "x")
    learns = ("train.steps=60", "train.learning_rate=0.02")
    data: ClassVar = {"languages": ["de", "fr", "el"], "examples": 120, "dev": 30, "test": 30}
    tables: ClassVar = {"data": data, "model": {"width": 8, "heads": 2}, "train": {"steps": 6}}

    def test_the_picture_is_of_the_pieces_that_were_read(self, run):
        task = run.task
        answer = task.answer(run.model, task.encode([Labelled("12 Äpfel")]))[0]
        picture = task.picture(run.model, Labelled("12 Äpfel"), answer)
        assert (picture.source, picture.target) == (tuple("12 Äpfel"), (answer.label,))
        assert len(picture.weights[0]) == 8
        assert sum(picture.weights[0]) == pytest.approx(1)
        assert sum(answer.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["pooling", "lstm", "transformer"])
@pytest.mark.parametrize("score", ["scaled_dot", "additive"])
def test_every_network_answers(name, score):
    tables = {"task": "classify-text", "model": {"name": name, "score": score}}
    examples = [Labelled("good film", "yes"), Labelled("so very bad", "no")]
    task = ClassifyText.fit(parse_config(tables), examples)
    answers = task.answer(build(task).eval(), task.encode(examples))
    assert {answer.label for answer in answers} <= {"yes", "no"}
