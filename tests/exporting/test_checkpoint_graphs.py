"""Checkpoints of transformers as graphs: as they are and optimised, of every kind that is one."""

import json

import numpy as np
import pytest

import heedful
from heedful.allocation.moves import DropSite, KeepHeads, LowPrecision
from heedful.errors import ConfigError, UnsupportedError
from heedful.exporting.checkpoint_graphs import graphs_of_checkpoint, opened_for_export
from heedful.exporting.full_precision import in_full

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")


def said(folder, *texts):
    """What ONNX Runtime makes of texts in a padded batch, with the tokeniser that came along."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    rows = T.AutoTokenizer.from_pretrained(folder)(list(texts), padding=True, return_tensors="np")
    wanted = {each.name for each in session.get_inputs()}
    given = {name: np.asarray(rows[name], np.int64) for name in rows if name in wanted}
    return torch.from_numpy(session.run(None, given)[0]), rows


@torch.no_grad()
def by_torch(model, rows, part):
    given = {name: torch.tensor(np.asarray(x)) for name, x in rows.items()}
    return getattr(model.eval()(**given), part)


@pytest.mark.slow
def test_an_encoder_says_the_same_of_any_batch_and_length(checkpoint, sizes, texts, tmp_path):
    folder, out = checkpoint("BertModel", T.BertConfig(**sizes)), tmp_path / "out"
    about = heedful.export(folder, to="onnx", output=out, data=texts)
    assert about["checkpoint"] == "BertModel"
    assert [each["name"] for each in about["graphs"]["model"]["outputs"]] == ["last_hidden_state"]
    shapes = {each["name"]: each["shape"] for each in about["graphs"]["model"]["inputs"]}
    assert shapes["input_ids"] == shapes["attention_mask"] == ["batch", "length"]
    assert about["graphs"]["model"]["largest"] == {"length": 30}
    assert about["checks"][0]["largest_difference"] <= about["checks"][0]["allowed"] < 1e-3
    assert json.loads((out / "export.json").read_text()) == about
    model = T.BertModel.from_pretrained(folder)
    for batch in (("a",), ("a b c d e a b c d e", "b"), ("c d", "e", "a a a", "d")):
        got, rows = said(out, *batch)
        want = by_torch(model, rows, "last_hidden_state")
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    heedful.export(folder, to="onnx", output=out, data=texts, force=True)  # all of it was ours


@pytest.mark.slow
def test_an_optimised_folder_has_other_heads_in_every_layer(
    checkpoint, smaller, sizes, texts, tmp_path
):
    folder = checkpoint("BertForSequenceClassification", T.BertConfig(**sizes, num_labels=4))
    moves = {
        "bert.encoder.layer.0.attention": (KeepHeads(heads=(1,)), LowPrecision(precision="int8")),
        "bert.encoder.layer.1.attention": (DropSite(),),
    }
    changed, out = smaller(folder, moves), tmp_path / "out"
    about = heedful.export(changed, to="onnx", output=out, data=texts)
    assert (out / "plan.toml").read_text() == (changed / "plan.toml").read_text()
    assert any("query" in name for name in about["rounded"])
    got, rows = said(out, "a b c", "d")
    whole, _ = said_of_original(folder, tmp_path, texts, "a b c", "d")
    assert got.shape == whole.shape == (2, 4)
    assert not torch.allclose(got, whole, atol=1e-4)
    loaded = by_torch(in_full(heedful.load(changed))[0], rows, "logits")
    torch.testing.assert_close(got, loaded, atol=1e-5, rtol=0)


def said_of_original(folder, tmp_path, data, *texts):
    heedful.export(folder, to="onnx", output=tmp_path / "whole", data=data)
    return said(tmp_path / "whole", *texts)


@pytest.mark.slow
def test_a_language_model_says_every_next_word_without_a_cache(checkpoint, sizes, texts, tmp_path):
    own = {**sizes, "hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2}
    folder = checkpoint("LlamaForCausalLM", T.LlamaConfig(**own), torch.bfloat16)
    out = tmp_path / "out"
    about = heedful.export(folder, to="onnx", output=out, data=texts)
    assert [each["name"] for each in about["graphs"]["model"]["outputs"]] == ["logits"]
    got, rows = said(out, "a b c d", "e")
    want = by_torch(T.LlamaForCausalLM.from_pretrained(folder).float(), rows, "logits")
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_programs_of_torch_too(checkpoint, sizes, tokenizer, texts, tmp_path):
    folder, out = checkpoint("BertModel", T.BertConfig(**sizes)), tmp_path / "out"
    about = heedful.export(folder, to="torch-export", output=out, data=texts)
    assert "no pickle" in about["safe_to_load"]
    program = torch.export.load(out / "model.pt2").module()
    rows = tokenizer(["a b", "c d e"], padding=True, return_tensors="pt")
    want = by_torch(T.BertModel.from_pretrained(folder), rows, "last_hidden_state")
    names = [each["name"] for each in about["graphs"]["model"]["inputs"]]
    got = program(*(rows[name] for name in names))[0]
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_sentences_stand_in_where_no_data_is_given(checkpoint, sizes):
    opened = opened_for_export(checkpoint("BertModel", T.BertConfig(**sizes)), None)
    graph = graphs_of_checkpoint(opened).graphs[0]
    assert {len(case[0]) for case in graph.cases} == {1, 2, 3, 4, 5}
    assert min(graph.cases[0][0].shape) > 1


def test_ctranslate2_reads_checkpoints_by_itself(checkpoint, sizes, texts, tmp_path):
    pytest.importorskip("ctranslate2")
    folder = checkpoint("BertModel", T.BertConfig(**sizes))
    with pytest.raises(UnsupportedError, match=r"got a checkpoint of Hugging Face, BertModel"):
        heedful.export(folder, to="ctranslate2", output=tmp_path / "out", data=texts)


def test_what_goes_with_one_is_refused_with_the_other(checkpoint, sizes, texts, tmp_path):
    folder = checkpoint("BertModel", T.BertConfig(**sizes))
    with pytest.raises(ConfigError, match=r"task must come with a run, got 'mine:Task'"):
        heedful.export(folder, to="onnx", output=tmp_path / "out", task="mine:Task")
    with pytest.raises(ConfigError, match=r"data must come with a checkpoint, got .*texts\.txt"):
        heedful.export(tmp_path / "no-run", to="onnx", output=tmp_path / "out", data=texts)
