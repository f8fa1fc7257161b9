"""Scores of texts are those of sacrebleu and of plain loops, also when examples are drawn anew."""

import functools
import itertools
from types import SimpleNamespace
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from heedful.errors import ConfigError, DataError
from heedful.metrics.texts import (
    TEXT_METRICS,
    bleu,
    bleu_metric,
    bleu_signature,
    character_error_rate,
    chrf,
    edit_distance,
    exact_match,
    text_metric,
    word_error_rate,
)

TEXTS = ["the cat sat on the mat", "a dog barks at night", "we go home", "", "see you"] * 3
REFERENCES = ["the cat sat on a mat", "a dog barks at night", "they go home", "yes", "see you"] * 3
CHINESE = ["今天天气真好", "我们去公园", "她在家看书"]
SCORERS = {"bleu": BLEU(), "chrf": CHRF()}
BUILT = {"bleu": bleu, "chrf": chrf, "exact_match": exact_match}


def examples(references=REFERENCES):
    return [SimpleNamespace(target=text) for text in references]


@pytest.mark.parametrize("name", SCORERS)
def test_the_score_is_sacrebleus_own(name):
    metric, statistics = text_metric(name, REFERENCES)
    assert (metric.name, metric.higher_is_better, metric.span) == (name, True, 100.0)
    want = SCORERS[name].corpus_score(TEXTS, [REFERENCES]).score
    assert metric.score(statistics(TEXTS)) == want


@pytest.mark.parametrize("name", SCORERS)
def test_every_draw_is_scored_as_a_corpus(name):
    metric, statistics = text_metric(name, REFERENCES)
    draws = np.random.default_rng(1).integers(0, 3, (4, len(TEXTS)))
    want = []
    for draw in draws:
        rows = np.repeat(np.arange(len(TEXTS)), draw)
        texts, references = ([side[row] for row in rows] for side in (TEXTS, REFERENCES))
        want.append(SCORERS[name].corpus_score(texts, [references]).score)
    assert metric.combine(draws.astype(float) @ statistics(TEXTS)).tolist() == want


def test_sums_between_whole_numbers_are_rounded():
    metric, statistics = text_metric("chrf", REFERENCES)
    sums = statistics(TEXTS).sum(0)
    assert (
        metric.combine(np.stack([sums, sums - 0.4, sums + 0.4])).tolist()
        == [metric.score(statistics(TEXTS))] * 3
    )


def test_chinese_is_cut_into_characters_for_bleu():
    metric, statistics = text_metric("bleu", CHINESE)
    texts = ["今天天气很好", "我们去公园", "他在看书"]
    assert (
        metric.score(statistics(texts)) == BLEU(tokenize="zh").corpus_score(texts, [CHINESE]).score
    )


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_texts_are_compared_composed(name):
    typed = [normalize("NFD", f"{text} é 가") for text in REFERENCES]
    metric, statistics = text_metric(name, typed)
    for form in ("NFC", "NFD"):
        written = [normalize(form, text) for text in typed]
        assert metric.score(statistics(written)) == pytest.approx(100)


def test_exact_match_is_in_per_cent():
    metric, statistics = text_metric("exact_match", REFERENCES)
    assert metric.span == 100
    right = sum(a == b for a, b in zip(TEXTS, REFERENCES, strict=True))
    assert 0 < right < len(TEXTS)
    assert metric.score(statistics(TEXTS)) == pytest.approx(100 * right / len(TEXTS), rel=1e-15)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_as_many_texts_as_references(name):
    _, statistics = text_metric(name, REFERENCES)
    message = "texts must be as many as their references, got 2 texts for 15 references"
    with pytest.raises(DataError, match=message):
        statistics(TEXTS[:2])
    with pytest.raises(DataError, match=f"{name} must have references to compare with, got none"):
        text_metric(name, [])


def test_rejects_an_unknown_metric():
    message = "metric must be one of bleu, chrf, exact_match, got 'rouge'"
    with pytest.raises(ConfigError, match=message):
        text_metric("rouge", REFERENCES)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_answers_and_examples_make_the_same_statistics(name):
    metric, statistics = text_metric(name, REFERENCES)
    built = BUILT[name]()
    assert (built.name, built.span, built.floor, built.unit) == (name, 100, 0, "%")
    assert (metric.share, built.share) == (name == "exact_match",) * 2
    found = built.statistics(TEXTS, examples())
    assert (found == statistics(TEXTS)).all()
    assert built.score(found) == metric.score(found)
    shouted = [text.upper() for text in TEXTS]
    quiet = BUILT[name](answer=str.lower, truth=lambda example: example.target)
    assert (quiet.statistics(shouted, examples()) == found).all()


@pytest.mark.parametrize(
    "references, tokeniser",
    [
        (["你好吗", "三 kg"], "zh"),
        (["请安装 PyTorch 2.13 和 transformers", "使用 torch.compile 编译 model"], "zh"),
        (["私はシンガポールが好きです。"], "char"),
        (["รถไฟใช้เวลาสามสิบนาที"], "char"),
        (["이 도시는 나무가 많습니다."], "13a"),
        (["Hello there"], "13a"),
        (["2019-01-01"], "13a"),
    ],
)
def test_bleu_has_words_in_every_script(references, tokeniser):
    metric = bleu_metric(references)
    metric.corpus_score(references, [references])
    assert f"tok:{tokeniser}" in str(metric.get_signature())
    assert bleu_signature(references) == str(metric.get_signature())


# ---- edit distances ------------------------------------------------------------------------------


def slow_distance(a, b):
    """Levenshtein's recursion, as it is defined."""

    @functools.cache
    def rest(i, j):
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        return min(rest(i + 1, j) + 1, rest(i, j + 1) + 1, rest(i + 1, j + 1) + (a[i] != b[j]))

    return rest(0, 0)


def test_edit_distances_that_are_known():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance("", "") == 0
    assert edit_distance(["a", "dog"], ["a", "cat", "dog"]) == 1


@given(*[some.text("abc", max_size=6)] * 3)
def test_edit_distance_is_the_definition_and_a_metric(a, b, c):
    distance = edit_distance(a, b)
    assert distance == slow_distance(a, b) == edit_distance(b, a)
    assert abs(len(a) - len(b)) <= distance <= max(len(a), len(b))
    assert distance <= edit_distance(a, c) + edit_distance(c, b)


@pytest.mark.parametrize(
    "metric, parts", [(character_error_rate(), list), (word_error_rate(), str.split)]
)
def test_error_rates_are_edits_over_the_size_of_the_truth(metric, parts):
    statistics = metric.statistics(TEXTS[:5], examples()[:5])
    edits = [slow_distance(parts(a), parts(b)) for a, b in zip(TEXTS, REFERENCES[:5], strict=False)]
    want = 100 * sum(edits) / sum(len(parts(text)) for text in REFERENCES[:5])
    assert metric.score(statistics) == pytest.approx(want, rel=1e-15)
    assert (metric.higher_is_better, metric.unit) == (False, "%")
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 17):
        assert metric.score(statistics[list(order)]) == pytest.approx(want, rel=1e-12)
    assert metric.score(metric.statistics(REFERENCES, examples())) == 0


def test_error_rates_compare_composed_text():
    metric = character_error_rate()
    assert metric.score(metric.statistics(["e\u0301"], examples(["\u00e9"]))) == 0


def test_an_empty_truth_counts_its_insertions():
    metric = character_error_rate()
    assert metric.score(metric.statistics(["ab", "abcd"], examples(["", "abcd"]))) == 50
    message = "word_error_rate must have a truth that is not empty, got 2 empty"
    with pytest.raises(DataError, match=message):
        word_error_rate().statistics(["a", "b"], examples(["", " "]))
