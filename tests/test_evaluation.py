"""Scores against independent computations, intervals against what they promise."""

from unicodedata import normalize

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from heedful import evaluation
from heedful.data.examples import Example
from heedful.errors import ConfigError, DataError, RunError
from heedful.evaluation import (
    bleu_metric,
    corpus_metric,
    evaluate,
    interval,
    resamples,
)
from heedful.training.start import train

TEXTS = ["今天天气很好", "我们去公园", "他在看书", "明天见"] * 5
REFERENCES = ["今天天气真好", "我们去公园", "她在家看书", "明天见"] * 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digit_files):
    from heedful.config import Config, Decode, Train, TransformerModel, TsvData

    files = {name: str(digit_files / f"{name}.tsv") for name in ("train", "dev", "test")}
    return train(
        Config(
            output=str(tmp_path_factory.mktemp("runs") / "run"),
            data=TsvData(**files),
            model=TransformerModel(
                width=32, heads=4, encoder_layers=1, decoder_layers=1, feedforward=32
            ),
            train=Train(steps=150, tokens_per_batch=512, learning_rate=1e-2, precision="fp32"),
            decode=Decode(max_length=5, batch=16),
        )
    )


@pytest.mark.parametrize("metric", [CHRF(), BLEU(tokenize="zh")])
def test_the_corpus_score_is_sacrebleus_own(metric):
    draws = resamples(len(TEXTS), seed=0)
    scored = corpus_metric(metric, TEXTS, REFERENCES, draws)
    assert scored.score == metric.corpus_score(TEXTS, [REFERENCES]).score
    low, high = scored.interval
    assert low < scored.score < high


def test_every_resample_is_scored_as_a_corpus():
    draws = resamples(len(TEXTS), seed=4, count=1)
    rows = np.repeat(np.arange(len(TEXTS)), draws[0].astype(int))
    want = CHRF().corpus_score([TEXTS[i] for i in rows], [[REFERENCES[i] for i in rows]]).score
    scored = corpus_metric(CHRF(), TEXTS, REFERENCES, draws)
    assert scored.interval == (want, want)


def test_resamples_draw_as_many_as_there_are():
    draws = resamples(7, seed=1, count=50)
    assert draws.shape == (50, 7)
    assert (draws.sum(1) == 7).all()
    assert (resamples(7, seed=1, count=50) == draws).all()
    assert (resamples(7, seed=2, count=50) != draws).any()


def test_the_interval_holds_the_middle_95_per_cent():
    low, high = interval(np.arange(1001.0))
    assert (low, high) == (25.0, 975.0)


def test_an_interval_of_a_share_has_the_binomial_width():
    exact = np.array([1.0] * 80 + [0.0] * 20)
    low, high = interval(resamples(100, seed=0, count=20_000) @ exact / 100)
    assert (low, high) == pytest.approx((0.72, 0.87), abs=0.011)


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


def test_a_report_agrees_with_the_translations(trained):
    report = evaluate(trained)
    examples = trained.examples("test")
    texts = trained.translator.translate([example.source for example in examples])
    right = [a == example.target for a, example in zip(texts, examples, strict=True)]
    assert report.examples == len(examples) == 50
    assert report.exact_match == 100 * sum(right) / 50
    assert 0 < report.exact_match < 100, "the test needs a model that is sometimes wrong"
    assert report.exact_match_interval[0] < report.exact_match < report.exact_match_interval[1]
    references = [example.target for example in examples]
    assert report.bleu == BLEU(tokenize="zh").corpus_score(texts, [references]).score
    assert report.chrf == CHRF().corpus_score(texts, [references]).score
    assert report.tokens_per_second > 0
    assert report.peak_memory_mib > 50
    assert report.token_accuracy > 50
    # max_length is 5 and there are numbers of six digits
    assert report.cut == sum(len(text) >= 5 for text in texts) > 0
    assert report.to_json()["exact_match"] == report.exact_match


def test_decomposed_references_cost_nothing(trained, monkeypatch):
    """Models write composed text, whatever form the references were typed in."""
    examples = trained.examples("test")
    forms = {}
    for form in ("NFC", "NFD"):
        given = [Example(e.source, normalize(form, f"{e.target}é가"), form) for e in examples]
        monkeypatch.setattr(type(trained), "examples", lambda *_, given=given: given)
        perfect = [normalize("NFC", e.target) for e in given]
        vocabulary = type(trained.translator.vocabularies.target)
        monkeypatch.setattr(vocabulary, "decode", lambda *_, perfect=perfect: perfect)
        forms[form] = evaluate(trained)
        assert forms[form].exact_match == forms[form].by_kind[form].exact_match == 100
        assert forms[form].by_kind[form].chrf == pytest.approx(100)
    assert forms["NFC"].bleu == forms["NFD"].bleu == pytest.approx(100)


def test_long_examples_are_counted_and_scored(trained, monkeypatch):
    examples = [*trained.examples("test"), Example("1 " * 400, "一" * 500)]
    monkeypatch.setattr(type(trained), "examples", lambda *_: examples)
    report = evaluate(trained)
    assert (report.examples, report.too_long) == (51, 1)


def test_the_split_and_the_beam_are_the_callers_choice(trained):
    assert evaluate(trained.folder, split="dev").examples == 40
    assert evaluate(trained, beam=3).beam == 3
    with pytest.raises(ConfigError, match="split must be one of dev, test, got 'train'"):
        evaluate(trained, split="train")


@pytest.mark.parametrize("split, other", [("test", " Try --split dev."), ("dev", "")])
def test_an_empty_split_is_an_error(trained, monkeypatch, split, other):
    monkeypatch.setattr(type(trained), "examples", lambda *_: [])
    message = f"^the {split} split must hold an example, got none.{other}$"
    with pytest.raises(DataError, match=message):
        evaluate(trained, split=split)


def test_memory_that_the_platform_does_not_tell_is_unknown(trained, monkeypatch):
    monkeypatch.setattr(evaluation, "resource", None)
    assert evaluate(trained, split="dev").peak_memory_mib is None


def test_a_model_alone_cannot_be_evaluated(tmp_path):
    (tmp_path / "model.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="run must be a folder written by heedful train, got"):
        evaluate(tmp_path)
