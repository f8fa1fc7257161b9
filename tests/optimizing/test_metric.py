"""Scores are those of the libraries and of plain loops, also when examples are drawn anew."""

import re
from unicodedata import normalize

import numpy as np
import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.optimizing.metric import (
    TEXT_METRICS,
    Metric,
    corpus_metric_of,
    mean_metric,
    per_example,
    ratio_metric,
    text_metric,
)

TEXTS = ["the cat sat on the mat", "a dog barks at night", "we go home", "", "see you"] * 3
REFERENCES = ["the cat sat on a mat", "a dog barks at night", "they go home", "yes", "see you"] * 3
CHINESE = ["今天天气真好", "我们去公园", "她在家看书"]
SCORERS = {"bleu": BLEU(), "chrf": CHRF()}


def numbers(seed=3, count=11):
    random = np.random.default_rng(seed)
    return random.normal(2, 1, count), random.integers(1, 9, count).astype(float)


# ---- means and ratios ----------------------------------------------------------------------------


def test_a_mean_and_a_ratio():
    values, sizes = numbers()
    mean, ratio = mean_metric("quality"), ratio_metric("loss", higher_is_better=False, span=4.0)
    assert (mean.name, mean.higher_is_better, mean.span) == ("quality", True, None)
    assert (ratio.name, ratio.higher_is_better, ratio.span) == ("loss", False, 4.0)
    error = mean_metric("error", higher_is_better=False, span=1.0)
    assert (error.name, error.higher_is_better, error.span) == ("error", False, 1.0)
    assert mean.score(per_example(values)) == pytest.approx(sum(values) / 11, rel=1e-15)
    want = sum(values) / sum(sizes)
    assert ratio.score(per_example(values, sizes)) == pytest.approx(want, rel=1e-15)


def test_every_draw_has_its_score():
    values, sizes = numbers()
    draws = np.random.default_rng(5).integers(0, 4, (6, 11)).astype(float)
    scores = ratio_metric("loss").combine(draws @ per_example(values, sizes))
    want = [
        sum(n * v for n, v in zip(draw, values, strict=True))
        / sum(n * s for n, s in zip(draw, sizes, strict=True))
        for draw in draws
    ]
    assert scores == pytest.approx(want, rel=1e-14)


def test_the_influence_on_a_mean_is_the_value_itself():
    values, _ = numbers()
    influence = mean_metric("quality").influence(per_example(values))
    assert influence == pytest.approx(values, rel=1e-12)


def test_the_influence_is_what_leaving_an_example_out_tells():
    values, sizes = numbers()
    statistics, metric = per_example(values, sizes), ratio_metric("loss")
    want = []
    for left in range(11):
        rest = [row for row in range(11) if row != left]
        want.append(
            11 * (values.sum() / sizes.sum()) - 10 * (values[rest].sum() / sizes[rest].sum())
        )
    assert metric.influence(statistics) == pytest.approx(want, rel=1e-12)
    some = metric.influence(statistics, rows=statistics[[7, 2]])
    assert some == pytest.approx([want[7], want[2]], rel=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, 1],
        (True, False, True),
        np.array([1, 0, 1], np.int8),
        torch.tensor([1, 0, 1], dtype=torch.bfloat16),
        torch.tensor([1.0, 0.0, 1.0], requires_grad=True),
    ],
)
def test_numbers_of_any_kind(values):
    statistics = per_example(values)
    assert statistics.dtype == np.float64
    assert statistics.tolist() == [[1, 1], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    "values, error, message",
    [
        (
            0.93,
            ShapeError,
            "values must hold one number for each example, got the single number 0.93: "
            "one number for all of them cannot be verified",
        ),
        (torch.tensor(0.5), ShapeError, "got the single number 0.5"),
        (
            np.ones((3, 2)),
            ShapeError,
            "values must hold one number for each example, got an array of shape (3, 2)",
        ),
        ([], DataError, "values must hold one number for each example, got none"),
        ([1.0, 2.0, np.nan], DataError, "values must be finite, got nan for example 2"),
        ([-np.inf, 2.0], DataError, "values must be finite, got -inf for example 0"),
        (
            ["good", "bad"],
            DataError,
            "values must be numbers, one for each example, got list with something else",
        ),
        ([[1.0], [1.0, 2.0]], DataError, "values must be numbers, one for each example, got list"),
    ],
)
def test_rejects_values(values, error, message):
    with pytest.raises(error, match=re.escape(message)):
        per_example(values)


@pytest.mark.parametrize(
    "sizes, error, message",
    [
        ([1, 2], ShapeError, "values and sizes must be as many, got 3 values and 2 sizes"),
        ([1, 0, 2], DataError, "every size must be above 0, got 0 for example 1"),
        (4.0, ShapeError, "sizes must hold one number for each example, got the single number 4"),
    ],
)
def test_rejects_sizes(sizes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        per_example([1.0, 2.0, 3.0], sizes)


@pytest.mark.parametrize("span", [0.0, -1.0, float("inf"), float("nan")])
def test_rejects_a_span(span):
    message = f"span must be a finite number above 0, got {span}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        Metric(name="x", combine=lambda sums: sums[:, 0], span=span)


# ---- texts ---------------------------------------------------------------------------------------


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


def test_a_scorer_of_ones_own():
    metric = corpus_metric_of(CHRF(word_order=2), "chrf++")
    rows = CHRF(word_order=2)._extract_corpus_statistics(TEXTS, [REFERENCES])
    assert metric.name == "chrf++"
    want = CHRF(word_order=2).corpus_score(TEXTS, [REFERENCES]).score
    assert metric.score(np.array(rows, float)) == want


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
