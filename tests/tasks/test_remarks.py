"""What is said of an answer: what was not read of the input, and what is new to the model."""

import numpy as np
import pytest

from heedful.data.examples import Example
from heedful.data.stories import Question
from heedful.data.tokens import train_tokenizer
from heedful.tasks.catalog import find_task, parse_config
from heedful.tasks.classify_text.texts import Labelled
from heedful.tasks.rate_product.products import Product
from heedful.tasks.recommend.histories import History
from heedful.tasks.remarks import never_seen, not_read, on_text, shortened, unknown_pieces

TWO = [Labelled("good film", "yes"), Labelled("so very bad", "no")]
RATED = [Product(("good film",), "5", 5.0), Product(("so very bad",), "1", 1.0)]
SUMMED = [Example("good film it was", "good film"), Example("so very bad", "bad")]
ASKED = [Question(("A sat.",), "Who sat?", "A"), Question(("B ran.",), "Who ran?", "B")]
HAD = [History(("a", "b", "c"), ("d",)), History(("b", "c"), ("a",))]

# task, settings, training examples; an input that is read whole, one that is not; what is said
CUT = [
    (
        "classify-text",
        {"tokens": {"max_length": 6}},
        TWO,
        "good",
        "goods",
        "of 'goods' only the 4 first tokens are read, of 5 (tokens.max_length)",
    ),
    (
        "rate-product",
        {"tokens": {"max_length": 4}},
        RATED,
        "good film",
        "good film film",
        "of 'good film film' only the 2 first tokens are read, of 3 (tokens.max_length)",
    ),
    (
        "summarise",
        {"tokens": {"max_length": 3}},
        SUMMED,
        "so very bad",
        "so very bad it was",
        "of 'so very bad it was' only the 3 first tokens are read, of 5 (tokens.max_length)",
    ),
    (
        "answer",
        {"model": {"name": "memory", "sentences": 2}},
        ASKED,
        "A sat. B ran. | Who sat?",
        "A sat. B ran. A ran. | Who sat?",
        "of a story only the 2 last sentences are read, of 3 (model.sentences)",
    ),
    (
        "answer",
        {"model": {"name": "bidaf", "max_length": 6}},
        ASKED,
        "A sat. B ran. | Who sat?",
        "A sat. B ran. A ran. | Who sat?",
        "of 'A sat. B ran. A ran.' only the 6 first tokens are read, of 9 (model.max_length)",
    ),
    (
        "recommend",
        {"model": {"max_length": 2}},
        HAD,
        "a, b",
        "a, b, c",
        "of a history only the 2 last items are read, of 3 (model.max_length)",
    ),
]


def fitted(name, settings, examples):
    task = find_task(name)
    return task.fit(parse_config({"task": name, **settings}), examples)


@pytest.mark.parametrize("name, settings, examples, whole, long, said", CUT)
def test_what_is_counted_as_cut_is_said_of_one_input(name, settings, examples, whole, long, said):
    task = fitted(name, settings, examples)
    for text, words in ((whole, []), (long, [said])):
        example = task.parse(text)
        assert task.remark(task.encode([example]), [])["cut"] == len(words)
        assert task.warnings(example, None) == words


def test_reviews_beyond_the_most_are_said_and_no_more_than_that_of_them():
    task = fitted("rate-product", {"tokens": {"max_reviews": 1}}, RATED)
    assert task.warnings(task.parse("good | film | unheard"), None) == [
        "of a product only the 1 first reviews are read, of 3 (tokens.max_reviews)"
    ]


def test_a_sound_that_is_not_read_to_its_end_is_said(tmp_path):
    pytest.importorskip("soundfile", reason="the extra sound is not installed")
    from heedful.data.sounds import write_sound

    path = tmp_path / "long.wav"
    write_sound(path, np.sin(np.arange(12_000) / 9), 8_000)
    data = {"name": "folder", "train": str(tmp_path), "rate": 8_000}
    task = find_task("classify-speech")
    labels = ["a", "b"]
    for longest, said in ((2.0, 0), (1.0, 1)):
        config = parse_config({"task": "classify-speech", "data": {**data, "longest": longest}})
        subject = task(config, labels)
        example = subject.parse(str(path))
        assert subject.remark(subject.encode([example]), []) == {"cut": said}
        assert (
            subject.warnings(example, None)
            == [f"of {str(path)!r} only the 1.0 first seconds are read, of 1.5 (data.longest)"][
                :said
            ]
        )
    assert subject.warnings(subject.parse("tones:5"), None) == []


NEW = [
    (
        "classify-text",
        {},
        TWO,
        "good 三月",
        "'good 三月' has pieces that this model has never seen: '三', '月'",
    ),
    (
        "rate-product",
        {},
        RATED,
        "good film | good three",
        "'good three' has pieces that this model has never seen: ' three'",
    ),
    (
        "summarise",
        {"model": {"name": "transformer", "copying": False}},
        SUMMED,
        "film film three",
        "'film film three' has pieces that this model has never seen: ' three'",
    ),
    (
        "answer",
        {"model": {"name": "memory"}},
        ASKED,
        "A sat. | Where sat?",
        "'Where sat?' has pieces that this model has never seen: ' where'",
    ),
    (
        "answer",
        {"model": {"name": "memory"}},
        ASKED,
        "Z sat. | Who sat?",
        "'Z sat.' has pieces that this model has never seen: ' z'",
    ),
]


@pytest.mark.parametrize("name, settings, examples, text, said", NEW)
def test_pieces_that_training_never_met_are_said(name, settings, examples, text, said):
    task = fitted(name, settings, examples)
    assert task.warnings(task.parse(text), None) == [said]


def test_what_can_be_copied_need_not_be_known():
    task = fitted("summarise", {"model": {"name": "transformer", "copying": True}}, SUMMED)
    assert task.warnings(task.parse("film film three"), None) == []


def test_characters_of_a_text_beside_an_image_are_looked_at():
    pytest.importorskip("sklearn", reason="the extra images is not installed")
    from heedful.tasks.fuse.observations import Observation

    known = [Observation(text="one", label="1"), Observation(text="two", label="2")]
    task = fitted("fuse", {}, known)
    assert task.warnings(Observation(text="two"), None) == []
    assert task.warnings(Observation(), None) == []
    assert task.warnings(Observation(text="to二"), None) == [
        "'to二' has pieces that this model has never seen: '二'"
    ]


def test_a_line_names_five_pieces_and_the_beginning_of_a_text():
    vocabulary = train_tokenizer("words", ["a b"], vocabulary=9, min_count=1)
    text = "a " + " ".join(9 * letter for letter in "cdefghijk") + " ccccccccc"
    assert unknown_pieces(vocabulary, text) == [f" {9 * letter}" for letter in "cdefghijk"]
    (said,) = on_text(text, text, vocabulary, 99, "x")
    few = ", ".join(repr(f" {9 * letter}") for letter in "cdefg")
    assert said.endswith(f"never seen: {few}, …")
    assert shortened(text) in said
    assert len(shortened(text)) == 40


def test_nothing_is_said_where_there_is_nothing():
    assert never_seen("'a'", []) == []
    assert not_read("'a'", "first tokens", 5, 5, "x") == []
    assert not_read("'a'", "first tokens", 1_234_567, 1_000, "x") == [
        "of 'a' only the 1,000 first tokens are read, of 1,234,567 (x)"
    ]
