"""The built-in corpus: one target for a source, no source twice, nothing untranslated."""

import re
import time
import unicodedata
from collections import Counter
from functools import cache
from random import Random

import pytest
from babel import Locale

from heedful.data.cldr import LONGEST_TEXT, cldr_corpus
from heedful.data.examples import Example, Splits
from heedful.data.locales import Side
from heedful.data.phrases import KINDS, Pair
from heedful.errors import ConfigError

PAIRS = [("en", "zh_Hans"), ("de", "fr"), ("ja", "ar"), ("zh_Hant", "en")]
TOO_LONG = "1" * LONGEST_TEXT  # to become part of a text
YEARS = re.compile(r"[(（].*?[)）]")
WORD = re.compile(r"\w")


@cache
def corpus(source: str, target: str, seed: int = 5) -> Splits:
    return cldr_corpus(source, target, examples=3_000, dev=200, test=300, seed=seed)


@cache
def pair(source: str, target: str) -> Pair:
    return Pair(Side(Locale.parse(source)), Side(Locale.parse(target)))


def everything(splits: Splits) -> list[Example]:
    return splits.train + splits.dev + splits.test


@pytest.mark.parametrize("source, target", PAIRS)
def test_splits_have_their_sizes_and_share_no_source(source, target):
    splits = corpus(source, target)
    assert [len(s) for s in (splits.train, splits.dev, splits.test)] == [2_500, 200, 300]
    assert len({example.source for example in everything(splits)}) == 3_000


@pytest.mark.parametrize("source, target", PAIRS)
def test_every_kind_is_in_every_split(source, target):
    splits = corpus(source, target)
    for examples in (splits.train, splits.dev, splits.test):
        assert {example.kind for example in examples} == {*KINDS, "text"}
    shares = Counter(example.kind for example in everything(splits))
    assert shares["text"] == 300
    assert shares["date"] == pytest.approx(3_000 * 0.16, abs=2)


@pytest.mark.parametrize("source, target", PAIRS)
def test_text_is_clean(source, target):
    for example in everything(corpus(source, target)):
        for text in (example.source, example.target):
            assert text == unicodedata.normalize("NFC", text).strip()
            assert not set(text) & set('\u00a0\u202f\u2009\u200b\u200e\u200f\u061c\t\n{}"')
            assert "  " not in text
            assert WORD.search(text)


# Unguarded: straight from what makes the phrases, before `cldr_corpus` drops what is ambiguous.
@pytest.mark.parametrize("source, target", [*PAIRS, ("zh_Hans", "en"), ("fa", "de"), ("he", "ru")])
def test_a_source_has_one_target(source, target):
    random, targets, count = Random(11), {}, 0
    for _, make in KINDS.values():
        for _ in range(1_500):
            if (phrase := make(pair(source, target), random)) is not None:
                count += 1
                # also where only case or joiners without width tell two sources apart
                key = phrase[0].casefold().replace("\u200c", "").replace("\u200d", "")
                assert targets.setdefault(key, phrase[1]) == phrase[1], key
    assert count > 0.95 * 1_500 * len(KINDS)


def test_the_same_seed_makes_the_same_corpus():
    again = cldr_corpus("de", "fr", examples=3_000, dev=200, test=300, seed=5)
    assert again == corpus("de", "fr")
    assert again != corpus("de", "fr", 6)


def test_numbers_say_the_same_on_both_sides():
    digits = re.compile(r"\d+")
    for kind in ("span", "money", "unit", "duration"):
        examples = [e for e in everything(corpus("en", "zh_Hans")) if e.kind == kind]
        assert len(examples) > 100
        for example in examples:
            # "Mexican silver pesos (1861–1992)" may leave out its years elsewhere
            source, target = (YEARS.sub("", text) for text in (example.source, example.target))
            assert digits.findall(source) == digits.findall(target)


def test_no_date_loses_its_century():
    for source, target in PAIRS:
        for example in everything(corpus(source, target)):
            if example.kind == "datetime":
                assert re.search(r"(19|20)\d\d", example.source)
                assert re.search(r"\d\d", example.target)


def test_some_texts_are_long_but_none_is_endless():
    lengths = [
        len(re.findall(r" ?[^\W\d_]+|.", example.source))
        for example in everything(corpus("en", "zh_Hans"))
        if example.kind == "text"
    ]
    assert sum(length > 30 for length in lengths) > len(lengths) / 2
    assert 70 < max(lengths) <= LONGEST_TEXT + 5  # a pause may be a token longer than counted


def test_chinese_text_has_chinese_punctuation():
    texts = [e for e in everything(corpus("en", "zh_Hans")) if e.kind == "text"]
    assert all(e.target.endswith("。") and e.source.endswith(".") for e in texts)
    assert any("；" in e.target and "; " in e.source for e in texts)


def test_the_corpus_is_made_fast():
    start = time.process_time()
    cldr_corpus("en", "zh_Hans", examples=30_000, dev=1, test=1, seed=1)
    assert time.process_time() - start < 2 * 2  # 150,000 in 10 s, and twice that on a slow machine


@pytest.mark.parametrize(
    "source, target, message",
    [
        (
            "zh_Hanz",
            "en",
            r"source_locale must be a locale of Babel, got 'zh_Hanz'\. Near: .*zh_Hans",
        ),
        ("en", "xx", r"target_locale must be a locale of Babel, got 'xx'"),
        ("en", "", r"target_locale must be a locale of Babel, got ''"),
        ("de", "de", r"target_locale must differ from source_locale, got 'de' for both"),
    ],
)
def test_rejects_locales(source, target, message):
    with pytest.raises(ConfigError, match=message):
        cldr_corpus(source, target, examples=9, dev=2, test=3, seed=1)


def test_hyphens_are_as_good_as_underscores():
    made = cldr_corpus("de", "zh-Hans", examples=30, dev=2, test=3, seed=1)
    assert made == cldr_corpus("de", "zh_Hans", examples=30, dev=2, test=3, seed=1)


def test_rejects_splits_that_leave_nothing_to_train_on():
    message = r"examples must be more than dev \+ test, got examples=5, dev=2, test=3"
    with pytest.raises(ConfigError, match=message):
        cldr_corpus("en", "de", examples=5, dev=2, test=3, seed=1)


def test_says_how_many_phrases_there_are(monkeypatch):
    monkeypatch.setattr("heedful.data.cldr.KINDS", {"one": (1, lambda *_: (TOO_LONG, "b"))})
    message = "examples must be at most 1 for en to de, got 5000"
    with pytest.raises(ConfigError, match=message):
        cldr_corpus("en", "de", examples=5_000, dev=2, test=3, seed=1)


def test_a_source_that_gets_a_second_target_is_dropped(monkeypatch):
    def make(_, random):
        number = random.randrange(40)
        return f"{TOO_LONG}{number}", str(random.random() if number < 20 else number)

    monkeypatch.setattr("heedful.data.cldr.KINDS", {"number": (1, make)})
    with pytest.raises(ConfigError, match="examples must be at most 20 for"):
        cldr_corpus("en", "de", examples=41, dev=2, test=3, seed=1)


def test_a_joiner_alone_does_not_make_another_source(monkeypatch):
    def make(_, random):
        return TOO_LONG + random.choice(["ab", "a\u200cb", "a\u200db"]), "c"

    monkeypatch.setattr("heedful.data.cldr.KINDS", {"joined": (1, make)})
    with pytest.raises(ConfigError, match="examples must be at most 1 for"):
        cldr_corpus("en", "de", examples=9, dev=2, test=3, seed=1)
