"""How much lies on facts, counted by hand; and that nothing looks where there is no attention."""

import pytest
import torch

from heedful.data.stories import Question
from heedful.tasks.answer.attention import attention_on_facts, looked_at
from heedful.tasks.answer.task import Answer
from heedful.tasks.catalog import parse_config
from heedful.training.start import build

STORY = ("Ann sat.", "Bob left.", "Ann ate.")
ASKED = [
    Question(STORY, "Who left?", "Bob", (1,)),
    Question(STORY, "Who ate?", "Ann", (2, 0)),
    Question(STORY, "Why?", "Ann"),
]


def made(**model):
    task = Answer.fit(parse_config({"task": "answer", "model": model}), ASKED)
    torch.manual_seed(1)
    return task, build(task).eval()


def test_shares_on_facts_are_those_of_the_picture():
    task, model = made(width=8, hops=2)
    found = attention_on_facts(task, model, ASKED)
    weights = [looked_at(task, model, each)[2] for each in ASKED[:2]]
    first = sum(hop[1] for hop in weights[0]) / 2
    second = sum(hop[0] + hop[2] for hop in weights[1]) / 2
    assert found.weight == pytest.approx((first + second) / 2)
    assert found.chance == pytest.approx((1 / 3 + 2 / 3) / 2)
    tops = [{max(range(3), key=hop.__getitem__) for hop in each} for each in weights]
    assert found.found == pytest.approx((len(tops[0] & {1}) + len(tops[1] & {0, 2})) / 3)
    assert found.questions == 2


def test_facts_that_are_not_read_do_not_count():
    task, model = made(width=8, sentences=2)
    assert attention_on_facts(task, model, ASKED).questions == 1
    assert attention_on_facts(task, model, ASKED[2:]) is None
    story, hops, weights = looked_at(task, model, ASKED[0])
    assert story == STORY[1:]
    assert (len(hops), len(weights), len(weights[0])) == (3, 3, 2)


def test_a_span_looks_at_the_words_of_its_question():
    task, model = made(name="bidaf", width=8)
    text, asked, weights = looked_at(task, model, ASKED[0])
    assert "".join(text) == " ann sat. bob left. ann ate."
    assert asked == (" who", " left", "?")
    assert [sum(row) for row in weights] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("name", ["memory", "bidaf"])
def test_without_attention_nothing_is_looked_at(name):
    task, model = made(name=name, width=8, attention=False)
    assert looked_at(task, model, ASKED[0]) is None
    assert attention_on_facts(task, model, ASKED) is None
    answer = task.answer(model, task.encode(ASKED[:1]))[0]
    assert task.picture(model, ASKED[0], answer) is None
