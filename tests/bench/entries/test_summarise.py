"""Baselines of summaries are sentences of the text, or lines that others have written."""

import pytest

from heedful.bench.entries.summarise import ENTRY, lead, text_rank
from heedful.data.examples import Example, Splits

TEXT = "A cat sat there. The dog saw the red cat. The red cat saw the dog? Something else entirely!"
SPLITS = Splits(
    train=[Example("all about rivers and lakes", "water"), Example("cats, dogs and more", "pets")],
    dev=[],
    test=[Example(TEXT, ""), Example("one sentence on dogs", "")],
)


def test_the_first_sentence_is_an_answer():
    assert [each.text for each in lead(None, SPLITS)] == [
        "A cat sat there.",
        "one sentence on dogs",
    ]


def test_the_central_sentence_shares_most_with_the_others():
    known = Splits(train=SPLITS.test, dev=[], test=SPLITS.test)
    found = [each.text for each in text_rank(None, known)]
    assert found[0] in {"The dog saw the red cat.", "The red cat saw the dog?"}
    chinese = [Example("猫看见狗。狗看见红猫。红猫睡觉。别的东西", "")]
    assert text_rank(None, Splits(train=chinese, dev=[], test=chinese))[0].text == "狗看见红猫。"


@pytest.mark.parametrize("name", ENTRY.baselines)
def test_every_baseline_answers_every_example(name):
    assert len(ENTRY.baselines[name](None, SPLITS)) == 2
