"""Plain checkpoints: `from_pretrained` opens them and they say the same, or one line why not."""

import pytest

import heedful
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.checkpoints.examples import CheckpointData
from heedful.errors import DataError, UnsupportedError

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")


def test_an_optimised_folder_becomes_a_plain_one(checkpoint, smaller, sizes, texts, tmp_path):
    own = {**sizes, "hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2}
    folder = checkpoint("Qwen3ForCausalLM", T.Qwen3Config(**own, head_dim=6))
    moves = {f"model.layers.{layer}.self_attn": (KeepHeads(heads=(0, 1)),) for layer in (0, 1)}
    changed, out = smaller(folder, moves), tmp_path / "out"
    about = heedful.export(changed, to="hf", output=out, data=texts)
    assert about["checks"][0]["largest_difference"] == 0
    assert about["checks"][0]["cases"] == 5
    plain = T.AutoModelForCausalLM.from_pretrained(out).eval()
    assert (plain.config.num_attention_heads, plain.config.num_key_value_heads) == (2, 1)
    rows = T.AutoTokenizer.from_pretrained(out)(["a b c", "d"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(plain(**rows).logits, heedful.load(changed)(**rows).logits)
        whole = T.AutoModelForCausalLM.from_pretrained(folder).eval()
        assert not torch.allclose(plain(**rows).logits, whole(**rows).logits, atol=1e-3)
    heedful.export(changed, to="hf", output=out, data=texts, force=True)  # all of it was ours


def test_what_writes_is_compared_too(checkpoint, texts, tmp_path):
    config = T.T5Config(
        vocab_size=9, d_model=12, d_kv=4, d_ff=20, num_layers=1, num_heads=3, pad_token_id=0,
        decoder_start_token_id=0, eos_token_id=3,
    )  # fmt: skip
    folder = checkpoint("T5ForConditionalGeneration", config)
    with pytest.raises(DataError, match=r"got none for which T5ForConditionalGeneration writes"):
        heedful.export(folder, to="hf", output=tmp_path / "out", data=texts)
    table = tmp_path / "pairs.csv"
    table.write_text("text,target\n" + "".join(f"a b {x},{x} c\n" for x in "abcde" * 3))
    data = CheckpointData(path=table)
    about = heedful.export(folder, to="hf", output=tmp_path / "out", data=data)
    assert about["checks"][0]["largest_difference"] == 0


def test_another_plan_says_its_site_and_the_reason(checkpoint, smaller, sizes, texts, tmp_path):
    folder = checkpoint("BertModel", T.BertConfig(**sizes))
    changed = smaller(folder, {"encoder.layer.1.attention": (DropSite(),)})
    with pytest.raises(UnsupportedError, match=r"got none in encoder\.layer\.1\.attention"):
        heedful.export(changed, to="hf", output=tmp_path / "out", data=texts)
    assert not (tmp_path / "out").exists()


def test_a_run_has_no_class_there(run, tmp_path):
    with pytest.raises(UnsupportedError, match=r"of a class of transformers, got Transformer of a"):
        heedful.export(run, to="hf", output=tmp_path / "out")
