"""Answers to questions: both networks keep to what every task keeps to, and learn."""

from dataclasses import replace
from typing import ClassVar

import pytest

from heedful.data.overlaps import contradictions
from heedful.data.stories import Question
from heedful.errors import DataError, RunError
from heedful.evaluation import evaluate
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.occlusion import occlusion
from heedful.tasks.answer.task import Answer, Response
from heedful.tasks.catalog import parse_config
from heedful.testing.tasks import TaskContract
from heedful.training.start import train

SMALL = {"examples": 150, "dev": 30, "test": 30}


class AnswerContract(TaskContract):
    task = Answer
    inputs = ("Mary went to the office. | Where is Mary?", "A. | B?")
    budget = "accuracy 60"
    remembered = 95

    def test_any_right_answer_counts_while_training_too(self, run):
        few = run.examples("test")[:4]
        data = run.task.encode(few)
        said = [each.answer for each in run.task.answer(run.model, data)]
        right = [
            replace(few[0], answer="Narnia", others=(said[0].upper(),)),
            replace(few[1], answer=said[1].upper()),
            replace(few[2], answer="Narnia", others=("Oz",)),
            replace(few[3], answer="Narnia"),
        ]
        metric, encoded = run.task.metric("accuracy"), run.task.encode(right)
        answers = run.task.answer(run.model, encoded)
        assert metric.score(metric.statistics(answers, right)) == 50
        if encoded.batch(range(4), "cpu").get("truth") is not None:  # a span must be in the text
            assert run.task.scores(run.model, encoded)["accuracy"] == 50

    def expected(self, answers, examples):
        right = [a.answer == e.answer for a, e in zip(answers, examples, strict=True)]
        return {"accuracy": 100 * sum(right) / len(right)}


class TestMemory(AnswerContract):
    learns = ("train.steps=100", "train.learning_rate=0.02")
    model: ClassVar = {"name": "memory", "width": 16, "hops": 2, "linear_share": 0.5}
    tables: ClassVar = {"data": SMALL, "model": model, "train": {"steps": 6, "batch_size": 16}}

    def test_the_picture_shows_hops_and_sentences(self, run):
        example = run.examples("test")[0]
        picture = run.task.picture(run.model, example, Response("office", 0.5))
        assert picture.source == example.story
        assert picture.target == ("hop 1", "hop 2")
        assert [sum(row) for row in picture.weights] == pytest.approx([1, 1])
        assert picture.title == f"{example.question} → office"

    def test_an_answer_that_training_has_not_is_counted(self, run):
        strange = [Question(("A.",), "B?", "Narnia"), Question(("A.",) * 60, "B?", "office")]
        data = run.task.encode(strange)
        assert run.task.remark(data, []) == {"cut": 1, "unknown": 1}

    def test_the_first_half_of_the_training_has_no_softmax(self, config):
        few = [Question(("A.",), "B?", "x"), Question(("A.",), "B?", "y")]
        task = Answer.fit(config, few)
        model = task.build()
        said = [task.proceed(model, done) or model.linear for done in (0.0, 0.49, 0.5, 0.99)]
        assert said == [True, True, False, False]

    def test_one_answer_may_be_spelled_in_several_ways(self, config):
        spelled = ["Rome", "ROME", "rome", "Rome", "Zoe\u0301", "Zo\u00e9", "Zo\u00e9"]
        asked = [Question(("A.",), f"{n}?", answer) for n, answer in enumerate(spelled)]
        task = Answer.fit(config, asked)
        assert list(task.answers) == ["Rome", "Zo\u00e9"]
        assert task.encode(asked).truth.tolist() == [0, 0, 0, 0, 1, 1, 1]

    def test_training_needs_two_answers(self, config):
        with pytest.raises(DataError, match=r"two answers or more, got .'x'."):
            Answer.fit(config, [Question(("A.",), "B?", "x")])

    def test_inputs_whose_answers_differ_are_contradictions(self, run):
        asked = [Question(("A.",), "B?", each) for each in ("x", "X", "y")]

        def said(examples):
            return contradictions(examples, run.task.identity, run.task.right_answers)

        assert said(asked[:2]) == []
        assert len(said(asked)) == 1


class TestBidaf(AnswerContract):
    learns = ("train.steps=80", "train.learning_rate=0.02")
    model: ClassVar = {"name": "bidaf", "width": 16, "heads": 2, "dropout": 0.0, "max_length": 99}
    tables: ClassVar = {"data": SMALL, "model": model, "train": {"steps": 6, "batch_size": 16}}

    def test_all_answers_may_be_the_same_piece(self, config, tmp_path):
        (tmp_path / "task").mkdir()
        Answer.fit(config, [Question(("A.",), "B?", "A")]).save(tmp_path)
        assert list(Answer.load(config, tmp_path).answers) == ["A"]

    def test_answers_are_pieces_of_the_text(self, run):
        few = run.examples("test")[:5]
        for example, answer in zip(
            few, run.task.answer(run.model, run.task.encode(few)), strict=True
        ):
            assert answer.answer in example.text


@pytest.mark.parametrize("name, steps, size", [("memory", 250, 32), ("bidaf", 60, 32)])
def test_it_learns_where_people_are(tmp_path, name, steps, size):
    data = {"examples": 1_300, "dev": 50, "test": 150}
    model = {"name": name, "width": 32, "heads": 2, "dropout": 0.0}
    settings = {"steps": steps, "learning_rate": 0.01, "batch_size": size}
    tables = {"task": "answer", "data": data, "model": model, "train": settings}
    run = train({**tables, "output": str(tmp_path / "run")})
    assert evaluate(run).scores["accuracy"].score > 28  # the most frequent of six places: 19
    occluded, attended = (found_facts(run, method) for method in (occlusion, gradient_attention))
    assert min(occluded, attended) > 0.4  # of as many sentences, one in six


def found_facts(run, method):
    """How often the first piece of a map of a right answer is in the sentence that says it."""
    few = [example for example in run.examples("test") if example.kind == "one fact"]
    answers = run.task.answer(run.model, run.task.encode(few))
    found = []
    for example, answer in zip(few, answers, strict=True):
        if answer.answer == example.answer:
            question = run.task.question(run.model, example, answer)
            place = int(method(run.model, question).weights.max(0).argmax())
            ends = "".join(question.pieces[:place]).count(".")  # of the sentences before it
            found.append(ends in example.facts)
    assert len(found) > 20
    return sum(found) / len(found)


@pytest.mark.parametrize("answers", ['{"a": 0}', '["a", "a"]', '["a"]'])
def test_answers_that_are_none_are_refused(tmp_path, answers):
    config = parse_config({"task": "answer"})
    (tmp_path / "task").mkdir()
    Answer.fit(config, [Question(("A.",), "B?", "x"), Question(("A.",), "C?", "y")]).save(tmp_path)
    assert list(Answer.load(config, tmp_path).answers) == ["x", "y"]
    (tmp_path / "task" / "answers.json").write_text(answers)
    with pytest.raises(RunError, match=r"answers.json must (be whole|have the answers, each once)"):
        Answer.load(config, tmp_path)
