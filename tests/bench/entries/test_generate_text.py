"""Counted n-grams know more of a text than the frequencies of its letters."""

import pytest

from heedful.bench.entries import generate_text
from heedful.bench.entries.generate_text import ENTRY, frequencies, kneser_ney
from heedful.data.examples import Example, Splits
from heedful.data.kneser_ney import KneserNey
from heedful.tasks.catalog import parse_config
from heedful.tasks.generate_text.passages import Passage, cut
from heedful.tasks.generate_text.task import GenerateText

TEXT = "the same words again and again, and the same words again. " * 8
SPLITS = Splits(
    train=cut(TEXT, length=20, before=20),
    dev=cut(TEXT[9:80], length=20, before=20),
    test=[Passage("the same words"), Passage(" again", "words")],
)


@pytest.fixture(scope="module")
def task():
    return GenerateText.fit(parse_config({"task": "generate-text"}), SPLITS.train)


def test_baselines_count_each_predicted_character(task):
    trivial, classical = (answers(task, SPLITS) for answers in ENTRY.baselines.values())
    assert [each.characters for each in trivial] == [13, 6]
    assert sum(x.bits for x in classical) < sum(x.bits for x in trivial) / 3
    metric = task.metric(ENTRY.metric)
    score = metric.score(metric.statistics(trivial, SPLITS.test))
    assert score == pytest.approx(sum(x.bits for x in trivial) / 19)


def test_frequencies_are_those_of_the_letters(task):
    text = task.encode(SPLITS.train).text.flat
    model = KneserNey(text, size=task.vocabulary.size, order=1)
    tokens = task.encode(SPLITS.test).tokens(1)
    found = -model.log_probabilities(tokens)[5:].sum()
    assert frequencies(task, SPLITS)[1].bits == pytest.approx(found / 0.6931471805599453)


def test_the_order_is_chosen_on_dev(task):
    short = Splits(train=SPLITS.train, dev=[Passage("zz")], test=SPLITS.test)
    assert len(kneser_ney(task, short)) == 2


def test_another_text_is_cut_as_the_training_was(monkeypatch):
    words = " ".join(f"word{n}" for n in range(40))
    others = Splits(train=[], dev=[], test=[Example(words, "Say it."), Example(words, "Again.")])
    monkeypatch.setattr(generate_text, "docstrings", lambda **settings: others)
    name, make = ENTRY.shift
    passages = make(parse_config({"task": "generate-text", "data": {"passage": 40, "before": 20}}))
    assert name == "docstrings of modules"
    assert "".join(each.text for each in passages) == f"Say it.\n\n{words}\n\nAgain.\n\n{words}"
    assert max(len(each.text) for each in passages) <= 40
    assert passages[3].before == (passages[1].text + passages[2].text)[-20:]
