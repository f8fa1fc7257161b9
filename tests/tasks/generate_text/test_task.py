"""Text generation keeps to what every task keeps to, and learns more than frequencies."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from heedful.data.kneser_ney import KneserNey
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.generate_text.passages import Passage, cut
from heedful.tasks.generate_text.task import GenerateText
from heedful.tasks.measure import measure
from heedful.testing.tasks import TaskContract
from heedful.training.start import build, train

SMALL = {
    "model": {"width": 16, "heads": 2, "layers": 1, "feedforward": 32, "context": 32},
    "train": {"steps": 8, "tokens_per_batch": 256, "watched": 8},
    "decode": {"length": 12, "temperature": 0.0},
}


@pytest.fixture(scope="session")
def rhyme(tmp_path_factory):
    """A text that counting letters alone says little about."""
    path = tmp_path_factory.mktemp("rhyme") / "rhyme.txt"
    draw = np.random.default_rng(0)
    words = ["kitten", "wonder", "marble", "zephyr", "ploughs"]
    path.write_text(" ".join(draw.choice(words, 1_200)))
    return path


class TestGenerateText(TaskContract):
    task = GenerateText
    budget = "bits_per_character 50%"
    learns = ("train.steps=100", "train.learning_rate=0.02")
    tables: ClassVar = SMALL
    inputs = ("kitten w", "marble", "ploughs\nzephyr")

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, rhyme, tmp_path_factory):
        """The small config, of a text that is small too."""
        data = {"name": "text", "train": str(rhyme), "passage": 16, "before": 16}
        tables = {**SMALL, "task": "generate-text", "data": data}
        return parse_config({**tables, "output": str(tmp_path_factory.mktemp("contract") / "run")})

    def expected(self, answers, examples):
        return {}

    def test_bits_are_counted_over_characters(self, run):
        task, few = run.task, run.examples("dev")[:5]
        data = task.encode(few)
        found = measure(task, run.model, data, few)
        loss, bits = found["loss"].sum(0), found["bits_per_character"].sum(0)
        assert loss[1] == bits[1] == sum(len(each.text) for each in few) - 1
        assert bits[0] == pytest.approx(loss[0] / math.log(2))

    def test_the_picture_is_of_what_was_written(self, run):
        task = run.task
        answer = task.answer(run.model, task.encode([Passage("a mar")]))[0]
        picture = task.picture(run.model, Passage("a mar"), answer)
        assert picture.target == tuple(answer.text)

    def test_a_file_is_cut_as_held_out_text_is(self, run, tmp_path):
        (tmp_path / "a.txt").write_text("some other text " * 8)
        text = (tmp_path / "a.txt").read_text() + "\n"
        found = run.task.read_file(run.config, tmp_path / "a.txt")
        assert found == cut(text, length=16, before=16)
        assert run.task.details(found) == {"passage_characters": 16, "characters_before": 16}


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_it_learns_more_than_frequencies(tmp_path, rhyme, model):
    tables = {
        "task": "generate-text",
        "data": {"name": "text", "train": str(rhyme), "passage": 16, "before": 16},
        "model": {"name": model, "width": 32, "layers": 1, "context": 32},
        "train": {"steps": 80, "tokens_per_batch": 512, "learning_rate": 0.01},
        "output": str(tmp_path / "run"),
    }
    run = train(parse_config(tables))
    examples = run.examples("test")
    bits = measure(run.task, run.model, run.task.encode(examples), examples)["bits_per_character"]
    splits = run.kind.read(run.config)
    known = [letter for each in splits.train for letter in map(ord, each.text)]
    unigram = KneserNey(known, size=128, order=1)
    own = [unigram.log_probabilities(list(map(ord, each.text))) for each in examples]
    trivial = -np.concatenate(own).mean() / math.log(2)
    assert trivial > 3.5
    assert bits.sum(0)[0] / bits.sum(0)[1] < trivial / 2


def fitted(**tables):
    config = parse_config({"task": "generate-text", **SMALL, **tables})
    task = GenerateText.fit(config, [Passage("some words of a text, and some more of them")])
    torch.manual_seed(0)
    return task, build(task).eval()


@pytest.mark.parametrize("kind", ["characters", "bpe", "words"])
def test_every_kind_of_token_answers_and_is_counted_by_its_characters(kind):
    task, model = fitted(tokens={"kind": kind})
    examples = [Passage("words of a text", "some "), Passage("more of them")]
    bits = measure(task, model, task.encode(examples), examples)["bits_per_character"]
    assert bits[:, 1].tolist() == [15, 11]
    answers = task.answer(model, task.encode(examples))
    assert all(answer.text for answer in answers)


def test_a_seed_and_a_prompt_decide_what_is_written():
    decode = {"length": 12, "temperature": 1.0}
    task, model = fitted(decode=decode)
    data = task.encode([Passage("some"), Passage("word"), Passage("some")])
    one, two, three = task.answer(model, data)
    assert one == three != two
    other, _ = fitted(decode={**decode, "seed": 5})
    assert other.answer(model, data)[0] != one


def test_what_was_never_seen_is_told():
    task, model = fitted()
    example = task.parse("some Ünïc")
    answer = task.answer(model, task.encode([example]))[0]
    told = task.warnings(example, answer)
    assert "'Ü'" in told[0]
    assert task.to_json(example, answer)["unknown"][0] == "Ü"
    assert task.warnings(task.parse("some"), answer) == []
    assert task.to_json(example, answer).keys() == task.blank("").keys()


def test_a_blank_prompt_is_refused():
    with pytest.raises(DataError, match="a text must hold something to go on with, got ' '"):
        fitted()[0].parse(" ")


def test_lines_are_shown_as_one():
    task, _ = fitted()
    answer = task.answer(build(task).eval(), task.encode([Passage("some")]))[0]
    shown = task.show(type(answer)("a\nb", 3))
    assert shown == "a↵b"
