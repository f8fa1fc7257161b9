"""Built-in reviews: their score is that of their opinions."""

import math
import re

import pytest

from heedful.data.reviews import LANGUAGES, MIDDLE, review_corpus
from heedful.errors import ConfigError

STRENGTH = {
    word: strength
    for language in LANGUAGES.values()
    for strength, words in language.opinions.items()
    for word in words
}


def test_a_score_is_the_mean_over_reviews_of_the_opinions_about_the_product():
    splits = review_corpus(("en", "zh"), examples=80, dev=7, test=11, seed=3)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [62, 7, 11]
    everything = [*splits.train, *splits.dev, *splits.test]
    assert len({each.reviews for each in everything}) == 80
    for each in everything:
        by_review = {}
        for review, start, end in each.evidence:
            text = each.reviews[review]
            by_review.setdefault(review, []).append(STRENGTH[text[start:end]])
            clause = re.split("[,，]", text[:start])[-1]
            assert not re.search("old phone|previous|service|parcel|旧|上一|售后|包装", clause)
        means = [sum(found) / len(found) for found in by_review.values()]
        assert each.score == pytest.approx(MIDDLE + math.fsum(means) / len(means))


def test_languages_take_turns_and_the_seed_decides():
    splits = review_corpus(("zh",), examples=9, dev=1, test=1, seed=3)
    assert not any(re.search("[a-z]", text) for each in splits.train for text in each.reviews)
    assert splits == review_corpus(("zh",), examples=9, dev=1, test=1, seed=3)
    assert splits != review_corpus(("zh",), examples=9, dev=1, test=1, seed=4)
    both = review_corpus(("en", "zh"), examples=40, dev=1, test=1, seed=3)
    parts = [*both.train, *both.dev, *both.test]
    assert sum("phone" in "".join(e.reviews) or "one" in "".join(e.reviews) for e in parts) > 9


@pytest.mark.parametrize(
    "languages, examples, message",
    [
        (("en", "fr"), 9, "languages must be some of en, zh, got 'fr'"),
        ((), 9, "languages must be one or more, got none"),
        (("en",), 5, "examples must be more than dev + test, got examples=5, dev=2, test=3"),
    ],
)
def test_what_cannot_be_made_is_refused(languages, examples, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        review_corpus(languages, examples=examples, dev=2, test=3, seed=1)
