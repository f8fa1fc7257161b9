from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from heedful.data.alignment import Alignment
from heedful.errors import UnsupportedError
from heedful.reporting.examples import LONGEST, cut, fields_of, said_in_a_line, show_examples


@dataclass(frozen=True)
class Asked:
    text: str
    items: tuple[int, ...] = ()
    weight: float = 0.5
    nothing: None = None


def test_fields_are_told_in_words():
    found = fields_of(Asked(text="a", items=tuple(range(20))))
    assert found == {
        "text": "a",
        "items": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (20)",
        "weight": "0.5",
    }
    assert fields_of("free") == {"input": "free"}


@dataclass(frozen=True)
class Reference:
    seed: int = 3
    story: tuple[str, ...] = ()
    known: bool = True
    image_hash: str = ""


@dataclass(frozen=True)
class Box:
    label: str
    x: float


@dataclass(frozen=True)
class Boxes:
    boxes: tuple[Box, ...]


def test_what_serves_the_program_alone_is_not_told():
    told = fields_of(Reference(story=("He went.", "She came."), image_hash="ab12"))
    assert told == {"story": "He went. She came."}
    assert fields_of(Boxes((Box("4", 2.0), Box("3", 34.5)))) == {"boxes": "4 2, 3 34.5"}
    assert fields_of(Reference()) == {"seed": "3", "known": "True"}


def test_the_columns_of_an_answer_stay_apart():
    assert said_in_a_line("4\t4.04\t88%") == "4 · 4.04 · 88%"
    assert said_in_a_line("two\nlines  of text") == "two lines of text"
    assert len(said_in_a_line("a\t" * 500)) == 240


def test_long_texts_are_cut():
    assert cut("x" * LONGEST) == "x" * LONGEST
    assert cut("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"


class Task:
    """Answers with the text turned round, and draws where it looked."""

    picture_of = Alignment(source=("a",), target=("b",), weights=((1.0,),))

    def encode(self, examples):
        return examples

    def answer(self, model, data):
        return [each.text[::-1] for each in data]

    def show(self, answer):
        return f"{answer}\n!"

    def question(self, model, example, answer):
        raise UnsupportedError("the task must say more, got less")

    def picture(self, model, example, answer):
        return self.picture_of


@pytest.fixture
def run():
    return SimpleNamespace(task=Task(), model="a model")


def test_where_nothing_can_be_asked_the_picture_and_the_reason_are_shown(run):
    said = []
    (shown,) = show_examples(run, [Asked(text="ab")], draws=9, seed=1, tell=said.append)
    assert (shown.answer, shown.asked["text"]) == ("ba !", "ab")
    assert (shown.picture, shown.explanation) == (Task.picture_of, None)
    assert shown.reason == "the task must say more, got less"
    assert said == ["explaining example 1 of 1"]


def test_no_example_asks_nobody(run):
    assert show_examples(None, [], draws=9, seed=1) == ()
