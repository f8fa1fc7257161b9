"""Summaries keep to what every task keeps to, and words nobody knows are copied."""

import random
from typing import ClassVar

import numpy as np
import pytest
import torch

from heedful.data.examples import Example
from heedful.errors import DataError
from heedful.metrics.rouge import common_subsequence, words
from heedful.tasks.catalog import parse_config
from heedful.tasks.summarise.task import Summarise
from heedful.testing.tasks import TaskContract
from heedful.training.start import build, train

SMALL = {
    "model": {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0},
    "train": {"steps": 8, "tokens_per_batch": 512},
    "decode": {"beam": 1, "max_length": 8},
}


def letters(draw):
    """A word that is in no other text."""
    return "".join(draw.choices("bcdfglmnprst", k=7))


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Texts that name something once; their summaries name it again."""
    folder, draw = tmp_path_factory.mktemp("summaries"), random.Random(0)
    paths = {}
    for split, count in (("train", 600), ("dev", 40), ("test", 40)):
        rows = []
        for _ in range(count):
            name, noise = letters(draw), draw.choices(["with", "some", "more", "of it"], k=3)
            text = f"once there was a {name} {' '.join(noise)}"
            rows.append(f"{text}\tthe {name} was")
        paths[split] = folder / f"{split}.tsv"
        paths[split].write_text("\n".join(rows))
    return {"name": "table", **{split: str(path) for split, path in paths.items()}}


class TestSummarise(TaskContract):
    task = Summarise
    inputs = ("once there was a bcdfglm of it", "some more", "once")
    budget = "rougeL 50"
    learns = ("train.steps=60", "train.learning_rate=0.02")
    tables: ClassVar = SMALL

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, tables, tmp_path_factory):
        """The small config, of texts in files."""
        settings = {**SMALL, "task": "summarise", "data": tables}
        return parse_config(
            {**settings, "output": str(tmp_path_factory.mktemp("contract") / "run")}
        )

    def expected(self, answers, examples):
        scores = {"rougeL": [], "rouge1": [], "rouge2": []}
        for answer, example in zip(answers, examples, strict=True):
            one, other = words(answer.text), words(example.target)
            both = len(one) + len(other)
            scores["rougeL"].append(200 * common_subsequence(one, other) / both)
            for size in (1, 2):
                runs = [
                    [" ".join(side[i : i + size]) for i in range(len(side) - size + 1)]
                    for side in (one, other)
                ]
                shared = sum(min(runs[0].count(run), runs[1].count(run)) for run in {*runs[0]})
                scores[f"rouge{size}"].append(200 * shared / max(sum(map(len, runs)), 1))
        return {name: np.mean(values) for name, values in scores.items()}

    def test_the_picture_has_a_row_for_each_word(self, run):
        task, example = run.task, Example("once there was a bcdfglm", "")
        answer = task.answer(run.model, task.encode([example]))[0]
        the, copied = task.encode([Example(example.source, "the bcdfglm")]).target.flat[1:-1]
        said = type(answer)("the bcdfglm", (), (the, copied))
        picture = task.picture(run.model, example, said)
        assert picture.source == tuple(" once| there| was| a| bcdfglm".split("|"))
        assert picture.target == (" the", " bcdfglm")
        assert [sum(row) for row in picture.weights] == pytest.approx([1, 1])
        assert task.picture(run.model, example, type(answer)("", (), ())) is None

    def test_a_file_is_read_by_its_columns(self, run, tables):
        assert run.task.read_file(run.config, tables["test"]) == run.examples("test")


def test_it_learns_to_copy_what_it_has_never_seen(tmp_path, tables):
    settings = {**SMALL, "task": "summarise", "data": tables, "output": str(tmp_path / "run")}
    settings["model"] = {**SMALL["model"], "width": 32}
    steps = {"steps": 110, "tokens_per_batch": 1_024, "learning_rate": 0.01}
    run = train(parse_config({**settings, "train": steps}))
    examples = run.examples("test")
    answers = run.task.answer(run.model, run.task.encode(examples))
    right = np.mean([a.text == e.target for a, e in zip(answers, examples, strict=True)])
    assert right > 0.8  # no summary was seen before: without copying none can be right
    assert answers[0].copied == (answers[0].text.split()[1],)


MODELS = [{"name": "transformer", "copying": copying} for copying in (True, False)]
MODELS += [{"name": "rnn", "attention": name, "hidden": 8} for name in ("additive", "none")]


@pytest.mark.parametrize("model", MODELS)
def test_every_network_answers(model):
    config = parse_config({**SMALL, "task": "summarise", "model": {**model, "width": 16}})
    examples = [Example("A few words of a Text", "words"), Example("a few words and more", "more")]
    task = Summarise.fit(config, examples)
    torch.manual_seed(0)
    network = build(task).eval()
    answers = task.answer(network, task.encode(examples))
    assert len(answers) == 2
    assert all(task.show(answer) == answer.text for answer in answers)
    looks = model.get("attention") != "none"
    assert (
        task.picture(network, examples[0], type(answers[0])("words", (), (4,))) is not None
    ) == looks


def test_long_texts_are_cut_and_it_is_told():
    config = parse_config({**SMALL, "task": "summarise", "tokens": {"max_length": 3}})
    task = Summarise.fit(config, [Example("one two three four one two", "two")])
    data = task.encode([Example("one two three four", ""), Example("one two three", "")])
    assert data.source.lengths.tolist() == [5, 5]
    assert task.remark(data, []) == {"cut": 1}


def test_a_blank_text_is_refused():
    config = parse_config({**SMALL, "task": "summarise"})
    task = Summarise.fit(config, [Example("one two one two", "two")])
    for text in ("  ", "\0"):
        with pytest.raises(DataError, match="a text must hold a word to summarise, got"):
            task.parse(text)
    answer = task.answer(build(task).eval(), task.encode([task.parse("one")]))[0]
    assert task.to_json(task.parse("one"), answer).keys() == task.blank(" ").keys()
    assert task.identity(Example(" One", "x")) == task.identity(Example("one", "X"))
