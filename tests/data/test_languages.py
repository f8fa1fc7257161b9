"""The built-in labelled texts: distinct, equally many a language, and the same for a seed."""

import re
from collections import Counter

import pytest

from heedful.data.languages import LANGUAGES, language_corpus
from heedful.errors import ConfigError

SIZES = {"examples": 400, "dev": 50, "test": 70}


def test_there_are_forty():
    assert len(set(LANGUAGES)) == 40


@pytest.mark.parametrize("languages", [("da", "nb", "sv"), ("zh", "ja"), ("id", "ms", "en")])
def test_texts_are_distinct_and_every_language_has_its_share(languages):
    splits = language_corpus(languages, **SIZES, seed=3)
    parts = (splits.train, splits.dev, splits.test)
    assert [len(part) for part in parts] == [280, 50, 70]
    pairs = [pair for part in parts for pair in part]
    assert len({text for text, _ in pairs}) == 400
    shares = Counter(language for _, language in pairs)
    assert set(shares) == set(languages)
    assert max(shares.values()) - min(shares.values()) <= 1
    assert all(any(letter.isalpha() for letter in text) for text, _ in pairs)


def test_a_seed_decides():
    made = [language_corpus(("fr", "it"), **SIZES, seed=seed) for seed in (5, 5, 6)]
    assert made[0] == made[1] != made[2]


def test_what_two_languages_say_alike_is_left_out(monkeypatch):
    made = []

    def phrase(pair, random):
        made.append("Sint Maarten" if len(made) % 3 == 0 else f"phrase {len(made)}")
        return made[-1]

    monkeypatch.setattr("heedful.data.languages._phrase", phrase)
    splits = language_corpus(("nl", "id"), **SIZES, seed=1)
    pairs = [*splits.train, *splits.dev, *splits.test]
    assert "Sint Maarten" in made
    assert "Sint Maarten" not in [text for text, _ in pairs]
    assert set(Counter(language for _, language in pairs).values()) == {200}


@pytest.mark.parametrize(
    "languages, sizes, message",
    [
        (("de",), {}, "languages must be at least two different ones, got de"),
        (("de", "en", "de"), {}, "languages must be at least two different ones, got de, en, de"),
        (("de", "xx"), {}, "languages must be a locale of Babel, got 'xx'"),
        (("de", "en"), {"dev": 330}, "examples must be more than dev + test, got examples=400"),
        (("en", "cy"), {"examples": 10**6}, "examples must be at most about"),
    ],
)
def test_refuses_what_cannot_be_made(monkeypatch, languages, sizes, message):
    monkeypatch.setattr("heedful.data.languages._phrase", FewPhrases())
    with pytest.raises(ConfigError, match=re.escape(message)):
        language_corpus(languages, **(SIZES | sizes), seed=1)


class FewPhrases:
    """A hundred phrases, over and over: a real language has too many to count here."""

    def __init__(self):
        self.made = 0

    def __call__(self, pair, random):
        self.made += 1
        return f"phrase {self.made % 100}"
