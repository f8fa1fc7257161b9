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
    from heedful.tasks.translation_config import Config, Decode, Train, TransformerModel

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
