"""The baselines of answers: the most frequent of each kind, and what shares words."""

from types import SimpleNamespace

from heedful.bench.entries.answer import ENTRY, LONG, most_frequent_of_kind, related
from heedful.data.examples import Splits
from heedful.data.stories import Question, story_corpus


def test_the_most_frequent_answer_is_that_of_the_kind():
    train = [Question(("a",), "q", answer, (), kind) for kind, answer in ("xb", "xb", "xa", "yc")]
    test = [Question(("a",), "q", "", (), kind) for kind in "yxz"]
    said = most_frequent_of_kind(None, Splits(train, [], test))
    assert [each.label for each in said] == ["c", "b", "b"]


def test_what_is_related_shares_a_long_word():
    question = Question(("Mary sat.", "The dog sat.", "Where is it?"), "Where is Mary?")
    assert related(question) == "Where is Mary? Where is it? Mary sat."


def test_the_classical_baseline_is_better_than_the_trivial_one():
    splits = story_corpus(examples=700, dev=50, test=150, seed=1)
    trivial, classical = (
        sum(a.label == e.answer for a, e in zip(answers(None, splits), splits.test, strict=True))
        for answers in ENTRY.baselines.values()
    )
    assert classical > 1.3 * trivial


def test_the_shift_has_longer_stories():
    name, make = ENTRY.shift
    found = make(SimpleNamespace(seed=1))
    assert name == "16 to 24 sentences"
    assert {len(each.story) for each in found} == {*range(LONG[0], LONG[1] + 1)}
