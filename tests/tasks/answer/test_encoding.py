"""Questions as numbers: sentences and their times, texts and their spans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.stories import Question
from heedful.data.tokens import train_tokenizer
from heedful.tasks.answer.encoding import Memories, Passages, typed

STORY = ("Ann went home.", "Bob, too.", "Ann ate pie.")
ASKED = [
    Question(STORY, "What did Ann eat?", "pie", (2,)),
    Question(STORY[:1], "Who went home?", "Ann"),
    Question(STORY, "Why?", "for fun"),
]
VOCABULARY = train_tokenizer(
    "words", [typed(text) for each in ASKED for text in (*each.story, each.question)], vocabulary=99
)


def pieces(numbers):
    return [VOCABULARY.decode([[number]])[0] for number in numbers if number]


@given(st.text(max_size=20))
def test_what_is_read_is_as_long_as_the_text_and_a_space(text):
    assert len(typed(text)) == len(text) + 1


def test_memories_are_the_last_sentences():
    data = Memories(ASKED, VOCABULARY, {"ann": 0, "pie": 1}, sentences=2, noise=0.5)
    assert (data.cut, data.counts.tolist(), data.truth.tolist()) == (2, [2, 1, 2], [1, 0, -100])
    batch = data.batch([1, 0], "cpu")
    assert pieces(batch["sentences"][1].tolist()) == [" bob", ",", " too", "."]
    assert batch["lengths"].tolist() == [4, 4, 4]
    assert batch["ago"].tolist() == [0, 1, 0]
    assert batch["counts"].tolist() == [1, 2]
    assert pieces(batch["question"][1].tolist()) == [" what", " did", " ann", " eat", "?"]
    assert batch["truth"].tolist() == [0, 1]


def test_a_right_answer_that_is_known_is_learned():
    asked = [
        Question(STORY, "Who?", "ANN"),
        Question(STORY, "Who?", "nobody", others=("Bob", "Ann")),
        Question(STORY, "Who?", "nobody"),
    ]
    data = Memories(asked, VOCABULARY, {"ann": 0, "bob": 1}, sentences=3, noise=0.0)
    assert data.truth.tolist() == [0, 1, -100]
    assert data.right == [{"ann"}, {"nobody", "bob", "ann"}, {"nobody"}]
    assert Passages(asked, VOCABULARY, longest=50).right == data.right


def test_noise_only_makes_sentences_older():
    many = [Question(tuple(f"S{n}." for n in range(40)), "Why?", "x")] * 2
    data = Memories(many, VOCABULARY, {"x": 0}, sentences=40, noise=0.3)
    plain = data.batch([0, 1], "cpu")["ago"].numpy().reshape(2, 40)
    assert (plain == np.arange(39, -1, -1)).all()
    noisy = data.batch([0, 1], "cpu", random=np.random.default_rng(1))["ago"].numpy().reshape(2, 40)
    more = noisy - plain
    assert (np.diff(noisy) < 0).all()
    assert (np.diff(more) <= 0).all()
    assert ((more[:, -1] == 0) | (more[:, -1] == 1)).all()
    assert 6 <= more[:, 0].mean() <= 18
    other = Memories(many, VOCABULARY, {"x": 1}, sentences=40, noise=0.3)
    assert other.fingerprint() != data.fingerprint()


def test_spans_are_found_in_the_facts_and_read_again():
    data = Passages(ASKED, VOCABULARY, longest=50)
    assert data.words(0, *data.spans[0]) == "pie"
    assert data.words(1, *data.spans[1]) == "Ann"
    assert data.spans[2].tolist() == [-100, -100]
    batch = data.batch([0], "cpu")
    assert batch["spans"].tolist() == data.spans[:1].tolist()
    assert pieces(batch["text"][0].tolist())[:4] == [" ann", " went", " home", "."]


@pytest.mark.parametrize(
    "answer, facts, words",
    [
        ("Ann", (), (0, 0)),
        ("Ann", (2,), (8, 8)),
        ("Bob, too", (), (4, 6)),
        ("An", (), (0, 0)),
        ("home. Bob", (), (2, 4)),
        ("", (), (-100, -100)),
    ],
)
def test_the_tokens_of_an_answer(answer, facts, words):
    data = Passages([Question(STORY, "Who?", answer, facts)], VOCABULARY, longest=50)
    assert tuple(data.spans[0].tolist()) == words


def test_what_is_cut_off_has_no_span():
    data = Passages(ASKED, VOCABULARY, longest=5)
    assert (data.cut, data.tokens.lengths.tolist()) == (2, [5, 4, 5])
    assert data.spans[0].tolist() == [-100, -100]
    assert data.fingerprint() != Passages(ASKED, VOCABULARY, longest=6).fingerprint()
