"""A real run, asked directly: the same answers as on the command line, together and one by one."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.explanation import explain
from heedful.serving.inputs import Input, Options
from heedful.serving.service import Asked, Service
from heedful.training.run import Run

RUN = Path(__file__).parents[1] / "training" / "fixtures" / "translation" / "transformer"


@pytest.fixture(scope="module")
def run():
    return Run(RUN)


@pytest.fixture(scope="module")
def service(run):
    return Service(run)


@pytest.fixture(scope="module")
def texts(run):
    return [each.source for each in run.examples("test")[:6]]


def test_answers_are_those_of_the_command_line(service, texts, capfdbinary):
    from heedful.cli import main

    with pytest.raises(SystemExit):
        main(["predict", str(RUN), *texts, "--json"])
    said = [json.loads(line) for line in capfdbinary.readouterr().out.decode().splitlines()]
    found = service.predict([Input(text=text) for text in texts])
    assert [each["data"] for each in found] == said


def test_together_is_one_by_one(service, texts):
    together = service.predict([Input(text=text) for text in texts])
    alone = [service.predict([Input(text=text)])[0] for text in texts]
    assert together == alone


def test_a_blank_text_has_the_answer_that_the_command_line_gives_it(service):
    [blank, _] = service.predict([Input(text=" \n"), Input(text="one")])
    assert blank == {"answer": "", "data": service.task.blank(""), "warnings": []}


def test_a_held_out_example_by_its_number(service, texts):
    assert service.predict([Input(index=2)]) == service.predict([Input(text=texts[2])])


def test_an_explanation_is_that_of_the_library(service, run, texts):
    options = Options(draws=20)
    [found] = service.explain([Asked(Input(text=texts[0]), options)])
    assert found.explanation.to_json() == explain(run, texts[0], draws=20).to_json()
    assert found.answer == service.predict([Input(text=texts[0])])[0]["answer"]
    assert found.asked["source"] == texts[0]


def test_what_predict_warns_of_an_explanation_says_too(service):
    asked = Input(text="one 三月")
    [told] = [each["warnings"] for each in service.predict([asked])]
    [found] = service.explain([Asked(asked, Options(test=False))])
    assert list(found.explanation.warnings) == told
    assert "never seen" in told[0]


def test_paths_are_those_of_the_library(service, run, texts):
    options = Options(draws=20, test=False, paths=2, seed=3)
    [found] = service.explain([Asked(Input(text=texts[0]), options)])
    alone = explain(run, texts[0], test=False, paths=2, seed=3)
    assert len(alone.paths) > len(alone.targets)
    assert found.explanation.paths == alone.paths


def test_without_attention_to_follow_a_page_says_so_and_a_program_is_refused(run, texts):
    def routeless(*args):
        return replace(run.task.question(*args), route=None)

    task = SimpleNamespace(
        **{name: getattr(run.task, name) for name in ("takes", "parse", "encode", "answer")},
        **{name: getattr(run.task, name) for name in ("show", "picture", "warnings")},
        question=routeless,
    )
    answering = SimpleNamespace(model=run.model, answering=lambda _: task, examples=run.examples)
    service = Service(answering)
    options = Options(test=False, paths=1)
    shown, refused = service.explain(
        [Asked(Input(text=texts[0]), options, picture=where) for where in (True, False)]
    )
    assert shown.explanation.method == "occlusion"
    assert shown.explanation.paths == ()
    assert "must have attention that leads to its input" in shown.reason
    assert isinstance(refused, UnsupportedError)


def test_what_cannot_be_explained_is_said(service):
    blank, odd = service.explain(
        [
            Asked(Input(text=" "), Options()),
            Asked(Input(text="one"), Options(method="guessing")),
        ]
    )
    assert isinstance(blank, DataError)
    assert "must hold something to explain, got a blank one" in str(blank)
    assert isinstance(odd, ConfigError)


class Task:
    """Parses what is no number not, and encodes odd ones not either."""

    takes = ("text",)

    def parse(self, text):
        if not text.isdigit():
            raise DataError(f"a text must be a number, got {text}")
        return int(text)

    def encode(self, examples):
        if any(each % 2 for each in examples):
            raise DataError(f"numbers must be even, got {examples}")
        return examples

    def answer(self, model, data):
        return [10 * each for each in data]

    def show(self, answer):
        return str(answer)

    def to_json(self, example, answer):
        return {"n": example, "nan": float("nan"), "deep": [{"inf": float("-inf")}]}

    def warnings(self, example, answer):
        return []

    def blank(self, text):
        return {"n": None}


@pytest.fixture
def small(monkeypatch, run, service):
    made = Service(run)
    made.task, made.takes, made.examples = Task(), Task.takes, []
    return made


def test_a_fault_is_of_the_input_that_has_it(small):
    found = small.predict([Input(text=text) for text in ("2", "x", "3", "", "4")])
    assert [each["data"]["n"] for each in (found[0], found[3], found[4])] == [2, None, 4]
    assert (str(found[1]), str(found[2])) == (
        "a text must be a number, got x",
        "numbers must be even, got [3]",
    )


def test_what_is_no_number_is_null(small):
    [found] = small.predict([Input(text="2")])
    assert found["data"] == {"n": 2, "nan": None, "deep": [{"inf": None}]}


def test_without_a_test_split_it_warms_up_with_the_other_one(small, monkeypatch):
    held_out = {"dev": [2], "test": []}
    monkeypatch.setattr(small.run, "examples", held_out.__getitem__)
    small.warm_up()
    held_out["dev"] = [3]
    with pytest.raises(DataError, match=r"numbers must be even, got \[3\]"):
        small.warm_up()
    held_out["dev"] = []
    with pytest.raises(DataError, match="must hold out an example to warm up with, got none"):
        small.warm_up()
