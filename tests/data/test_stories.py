"""Questions about stories: what follows from the facts, and files in the format of bAbI."""

import re

import pytest

from heedful.data.stories import Question, compared, one_spelling, read_babi, story_corpus
from heedful.errors import ConfigError, DataError


def where(story, facts):
    """Read the facts again: the place that the last sentence of a walk among them names."""
    walks = [
        story[fact].rstrip(".").split(" to the ")[1] for fact in facts if " to " in story[fact]
    ]
    return walks[-1]


def test_answers_follow_from_their_facts():
    splits = story_corpus(examples=300, dev=20, test=30, seed=3)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [250, 20, 30]
    asked = [*splits.train, *splits.dev, *splits.test]
    assert len(set(asked)) == 300
    for each in asked:
        assert 4 <= len(each.story) <= 12
        assert each.answer == where(each.story, each.facts)
        assert each.kind == ("one fact" if len(each.facts) == 1 else "two facts")
        name = each.question.removesuffix("?").split()[-1]
        assert any(name in each.story[fact] for fact in each.facts)
        assert each.answer in each.text
    assert {each.kind for each in asked} == {"one fact", "two facts"}


def test_a_thing_is_where_a_reader_says_it_is():
    """An independent reader, which walks through each story from its beginning."""
    for each in story_corpus(examples=200, dev=1, test=1, seed=5).train:
        place, owner, lies = {}, {}, {}
        for sentence in each.story:
            person, *_, last = sentence.rstrip(".").removesuffix(" there").split()
            if " to the " in sentence:
                place[person] = last
            elif "took" in sentence or "picked" in sentence:
                owner[last] = person
            else:
                lies[last] = place[owner.pop(last)]
        name = each.question.removesuffix("?").split()[-1]
        known = {**lies, **{thing: place[person] for thing, person in owner.items()}, **place}
        assert known[name] == each.answer


def test_the_seed_decides_and_there_must_be_something_to_learn():
    first = story_corpus(examples=20, dev=2, test=3, seed=1)
    assert first == story_corpus(examples=20, dev=2, test=3, seed=1)
    assert first != story_corpus(examples=20, dev=2, test=3, seed=2)
    with pytest.raises(ConfigError, match="got examples=5, dev=2, test=3"):
        story_corpus(examples=5, dev=2, test=3, seed=1)


BABI = """1 Mary went to the hall.
2 John slept.
3 Where is Mary? \thall\t1
4 Mary left.
5 Who left?\tMary,John\t4 2
1 It is.
2 Is it?\tyes\t
"""


def test_babi_is_read_story_by_story(tmp_path):
    (tmp_path / "a.txt").write_text(BABI)
    first, second, third = read_babi(tmp_path / "a.txt", kind="qa1")
    story = ("Mary went to the hall.", "John slept.")
    assert first == Question(story, "Where is Mary?", "hall", (0,), "qa1")
    assert second == Question((*story, "Mary left."), "Who left?", "Mary,John", (2, 1), "qa1")
    assert third == Question(("It is.",), "Is it?", "yes", (), "qa1")
    assert (second.label, third.text) == ("Mary,John", "It is.")


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 A.\n3 B.\n", ":2 must begin with the number 1 or 2, got '3 B.'"),
        ("A.\n", ":1 must begin with the number 1 or 1, got 'A.'"),
        ("1 A.\n2  \n", ":2 must have a sentence behind its number, got '2  '"),
        ("1 \0\n", ":1 must have a sentence behind its number, got '1 \\x00'"),
        ("1 A.\n2 B?\t\u200b\n", r":2 must have a question and its answer, got ['B?', '\u200b']"),
        ("1 A.\n2 B?\t \t1\n", ":2 must have a question and its answer, got ['B?', ' ']"),
        ("1 B?\tyes\t1\n", ":1 must have a sentence before its question, got none"),
        ("1 A.\n2 B?\tyes\t1 7\n", ":2 must name lines of its story as facts, 1 to 1, got '7'"),
        ("1 A.\n", " must have a line with a question, a tab and an answer, got none"),
    ],
)
def test_bad_lines_are_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=re.escape(f"a.txt{message}")):
        read_babi(tmp_path / "a.txt")


def test_answers_are_compared_however_they_are_typed():
    typed = ["Orl\u00e9ans", "orle\u0301ans", "ORL\u00c9ANS", "Oslo", "oslo", "oslo"]
    assert len({compared(each) for each in typed}) == 2
    assert one_spelling(typed) == [
        "ORL\u00c9ANS",
        "oslo",
    ]  # the most frequent, the first of several
    assert one_spelling([*typed, typed[0]]) == ["Orl\u00e9ans", "oslo"]
    asked = Question(("A.",), "Where?", "Oslo", others=("in Oslo", "OSLO"))
    assert asked.right == {"oslo", "in oslo"}
    assert Question(("A.",), "Where?").right == frozenset()
