"""CTranslate2 writes what the run writes, or the site that it has no words for is named."""

import json

import ctranslate2
import pytest
import torch

import heedful
from heedful.allocation.moves import KeepHeads, TopKKeys
from heedful.allocation.plan import Plan
from heedful.errors import UnsupportedError
from heedful.exporting import ctranslate2 as exporting
from heedful.models import RnnSeq2Seq, Transformer

SIZES = {"source_size": 11, "target_size": 13, "width": 16, "heads": 2}


@pytest.mark.parametrize("positions, norm", [("sinusoidal", "post"), ("rotary", "pre")])
def test_greedy_tokens_are_the_same(translator, tmp_path, positions, norm):
    run = heedful.load(translator(positions=positions, norm=norm, decoder_layers=2))
    about = heedful.export(run.folder, to="ctranslate2", output=tmp_path / "out")
    check = about["checks"][0]
    assert check["same"]["float32"] == check["phrases"] > 30
    assert 0 < check["same"]["int8"] <= check["phrases"]
    assert json.loads((tmp_path / "out/config.json").read_text())["eos_token"] == "</s>"
    theirs = ctranslate2.Translator(str(tmp_path / "out"))
    vocabularies = run.task.vocabularies
    rows = vocabularies.source.encode(["one two three", "nine"])
    words = exporting.words_of(run.folder / "tokens/source.json")
    got = exporting.written(theirs, words, rows, most=24)
    assert ["".join(pieces) for pieces in got] == run.translator.translate(
        ["one two three", "nine"], beam=1
    )


def plan(site, move):
    return Plan(moves={site: (move,)})


@pytest.mark.parametrize(
    "model, message",
    [
        (
            plan("encoder.1.self_attention", KeepHeads(heads=(1,))).apply(
                Transformer(**SIZES, positions="sinusoidal")
            ),
            r"encoder\.1\.self_attention must have heads as all sites .* 1 x 8 on 1, not 2 x 8",
        ),
        (
            plan("decoder.0.cross_attention", TopKKeys(keys=2)).apply(
                Transformer(**SIZES, positions="sinusoidal")
            ),
            r"decoder\.0\.cross_attention must be plain attention for CTranslate2, got TopK",
        ),
        (
            Transformer(**SIZES, positions="rotary+sinusoidal"),
            r"positions must be one of sinusoidal, learned, rotary .* got rotary\+sinusoidal",
        ),
        (Transformer(**SIZES, positions="relative"), "got relative"),
        (RnnSeq2Seq(source_size=11, target_size=13), "must be a Transformer, got RnnSeq2Seq"),
    ],
)
def test_what_it_has_no_words_for_is_named(model, message, tmp_path):
    words = [[str(n) for n in range(size)] for size in (11, 13)]
    with pytest.raises(UnsupportedError, match=message):
        exporting.write_model(model.eval(), words, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_task_is_refused(tmp_path):
    class Run:
        config = type("Config", (), {"task": "segment"})
        model = torch.nn.Linear(1, 1)

    with pytest.raises(UnsupportedError, match=r"must translate .* got the task segment"):
        exporting.write_run(Run(), tmp_path)
