"""Scores against independent computations, intervals against what they promise."""

from unicodedata import normalize

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from heedful import evaluation
from heedful.data.examples import Example
from heedful.errors import ConfigError, DataError, RunError
from heedful.evaluation import evaluate
from heedful.training.start import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digit_files):
    from heedful.data.load import TsvData
    from heedful.tasks.translation.config import Config, Decode, Train, TransformerModel

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


def test_a_report_agrees_with_the_translations(trained):
    report = evaluate(trained)
    examples = trained.examples("test")
    texts = trained.translator.translate([example.source for example in examples])
    right = [a == example.target for a, example in zip(texts, examples, strict=True)]
    assert report.examples == len(examples) == 50
    exact = report.scores["exact_match"]
    assert exact.score == 100 * sum(right) / 50
    assert 0 < exact.score < 100, "the test needs a model that is sometimes wrong"
    assert exact.low < exact.score < exact.high
    references = [example.target for example in examples]
    bleu = BLEU(tokenize="zh").corpus_score(texts, [references]).score
    assert report.scores["bleu"].score == pytest.approx(bleu)
    chrf = CHRF().corpus_score(texts, [references]).score
    assert report.scores["chrf"].score == pytest.approx(chrf)
    assert (report.unit, report.units["bleu"]) == ("tokens", "%")
    assert report.per_second > 0
    assert report.peak_memory_mib > 50
    assert report.scores["token_accuracy"].score > 50
    assert not report.higher_is_better["loss"]
    assert report.higher_is_better["chrf"]
    # max_length is 5 and there are numbers of six digits
    assert report.remarks["cut"] == sum(len(text) >= 5 for text in texts) > 0
    plain = report.to_json()
    assert (plain["exact_match"], plain["exact_match_interval"]) == (exact.score, exact.interval)
    assert plain["cut"] == report.remarks["cut"]


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
        (kind,) = forms[form].by_kind.values()
        assert forms[form].scores["exact_match"].score == kind["exact_match"] == 100
        assert kind["chrf"] == pytest.approx(100)
    first, other = (forms[form].scores["bleu"].score for form in ("NFC", "NFD"))
    assert first == other == pytest.approx(100)


def test_long_examples_are_counted_and_scored(trained, monkeypatch):
    examples = [*trained.examples("test"), Example("1 " * 400, "一" * 500)]
    monkeypatch.setattr(type(trained), "examples", lambda *_: examples)
    report = evaluate(trained)
    assert (report.examples, report.remarks["too_long"]) == (51, 1)


def test_the_split_and_the_beam_are_the_callers_choice(trained):
    assert evaluate(trained.folder, split="dev").examples == 40
    assert evaluate(trained).details["beam"] == 1
    assert evaluate(trained, beam=3).details["beam"] == 3
    assert evaluate(trained, overrides=["decode.beam=2"]).to_json()["beam"] == 2
    with pytest.raises(ConfigError, match=r"may change in decode\.\* alone, got seed=2"):
        evaluate(trained, overrides=["seed=2"])
    with pytest.raises(ConfigError, match="split must be one of dev, test, got 'train'"):
        evaluate(trained, split="train")


@pytest.mark.parametrize("split, other", [("test", " Try --split dev."), ("dev", "")])
def test_an_empty_split_is_an_error(trained, monkeypatch, split, other):
    monkeypatch.setattr(type(trained), "examples", lambda *_: [])
    message = f"^the {split} split must hold an example, got none.{other}$"
    with pytest.raises(DataError, match=message):
        evaluate(trained, split=split)


def test_a_task_without_metrics_is_not_evaluated(trained, monkeypatch):
    monkeypatch.setattr(type(trained.task), "metrics", ())
    with pytest.raises(ConfigError, match="translation must have a metric to be evaluated, got n"):
        evaluate(trained)


def test_memory_that_the_platform_does_not_tell_is_unknown(trained, monkeypatch):
    monkeypatch.setattr(evaluation, "resource", None)
    assert evaluate(trained, split="dev").peak_memory_mib is None


def test_a_model_alone_cannot_be_evaluated(tmp_path):
    (tmp_path / "model.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="run must be a folder written by heedful train, got"):
        evaluate(tmp_path)
