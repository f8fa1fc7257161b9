"""Encoder-decoders of transformers as two graphs: they write what `generate` writes."""

import json

import numpy as np
import pytest

import heedful
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.errors import UnsupportedError
from heedful.exporting.checkpoint_graphs import graphs_of_checkpoint, opened_for_export
from heedful.exporting.checkpoint_writing import writer_of

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

BEGIN, END, LONG = 2, 3, 12
SIZES = {
    "vocab_size": 9, "d_model": 12, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 3, "decoder_attention_heads": 3, "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 20, "max_position_embeddings": 40, "init_std": 0.8, "pad_token_id": 0,
    "bos_token_id": BEGIN, "eos_token_id": END, "decoder_start_token_id": BEGIN,
    "forced_eos_token_id": None, "forced_bos_token_id": None,
}  # fmt: skip
T5 = {
    "vocab_size": 9, "d_model": 12, "d_kv": 4, "d_ff": 20, "num_layers": 2, "num_heads": 3,
    "pad_token_id": 0, "eos_token_id": END, "decoder_start_token_id": BEGIN,
    "initializer_factor": 4.0,
}  # fmt: skip
KINDS = {
    "T5ForConditionalGeneration": T.T5Config(**T5),
    "BartForConditionalGeneration": T.BartConfig(**SIZES),
    "MarianMTModel": T.MarianConfig(**SIZES),
    "M2M100ForConditionalGeneration": T.M2M100Config(**SIZES),
    "PegasusForConditionalGeneration": T.PegasusConfig(**SIZES),
}
TEXTS = ["a b c d e a", "c", "e d"]


def model_of(kind, config):
    torch.manual_seed(1)
    return getattr(T, kind)(config).eval()


def smaller(model):
    """Other heads in every layer, and one site without any."""
    sites = find_sites(model)[0]
    moves = {site.name: (KeepHeads(heads=((number % 3),)),) for number, site in enumerate(sites)}
    moves[sites[-1].name] = (DropSite(),)
    return Plan(moves=moves).apply(model).eval()


def written_by(begin, advance, given):
    """The tokens of the likeliest text, word by word."""
    logits, state = begin(given)
    tokens = [logits.argmax(-1)]
    while len(tokens) < LONG:
        tokens.append(advance(tokens[-1], state).argmax(-1))
    return torch.stack(tokens, 1)


def generated(model, given):
    """What `generate` writes, which ends no text here."""
    rows = model.generate(
        **given, max_new_tokens=LONG, do_sample=False, num_beams=1, eos_token_id=None
    )
    return rows[:, 1:]


@torch.no_grad()
@pytest.mark.parametrize("change", [lambda model: model, smaller], ids=["whole", "smaller"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_what_generate_writes(kind, change, tokenizer):
    model = change(whole := model_of(kind, KINDS[kind]))
    given = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    given = {name: given[name] for name in ("input_ids", "attention_mask")}
    writer = writer_of(model, list(given), 30)
    found = written_by(writer.begin, writer.advance, tuple(given.values()))
    assert torch.equal(found, generated(model, given))
    assert model is not whole or len(found.unique()) > 1  # it says something
    assert writer.longest == (None if kind.startswith("T5") else 40)
    assert writer.longest_read == 30


def by_onnx(folder, rows):
    """What ONNX Runtime writes, told by `export.json` alone."""
    onnxruntime = pytest.importorskip("onnxruntime")
    about = json.loads((folder / "export.json").read_text())
    runs = {
        name: onnxruntime.InferenceSession(folder / graph["file"])
        for name, graph in about["graphs"].items()
    }
    names = {
        name: [each["name"] for each in graph["outputs"]] for name, graph in about["graphs"].items()
    }
    used = about["writing"]

    def begin(given):
        found = dict(zip(names["start"], runs["start"].run(None, given), strict=True))
        return torch.from_numpy(found["logits"]), {**given, **found}

    def advance(tokens, state):
        given = {name: state[name] for name in used["kept"]}
        given |= {new: state[old] for old, new in used["carried"].items()}
        said = runs["step"].run(None, {"tokens": tokens.numpy(), **given})
        state.update(zip(names["step"], said, strict=True))
        return torch.from_numpy(state["logits"])

    given = {name: np.asarray(rows[name]) for name in ("input_ids", "attention_mask")}
    return written_by(begin, advance, given), about


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["T5ForConditionalGeneration", "BartForConditionalGeneration"])
def test_onnx_runtime_writes_it_too(kind, checkpoint, tokenizer, texts, tmp_path):
    folder, out = checkpoint(kind, KINDS[kind]), tmp_path / "out"
    about = heedful.export(folder, to="onnx", output=out, data=texts)
    assert set(about["graphs"]) == {"start", "step"}
    rows = tokenizer(TEXTS, padding=True, return_tensors="pt")
    found, read = by_onnx(out, rows)
    assert read == about
    model = getattr(T, kind).from_pretrained(folder).eval()
    given = {name: rows[name] for name in ("input_ids", "attention_mask")}
    assert torch.equal(found, generated(model, given))
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == END
    heedful.export(folder, to="onnx", output=out, data=texts, force=True)  # all of it was ours


@pytest.mark.slow
def test_onnx_runtime_writes_what_an_optimised_one_writes(
    checkpoint, smaller, tokenizer, texts, tmp_path
):
    folder = checkpoint("BartForConditionalGeneration", KINDS["BartForConditionalGeneration"])
    moves = {
        "model.encoder.layers.0.self_attn": (KeepHeads(heads=(1,)),),
        "model.decoder.layers.0.self_attn": (KeepHeads(heads=(0, 2)),),
        "model.decoder.layers.1.self_attn": (DropSite(),),
        "model.decoder.layers.0.encoder_attn": (DropSite(),),
    }
    changed, out = smaller(folder, moves), tmp_path / "out"
    heedful.export(changed, to="onnx", output=out, data=texts)
    rows = tokenizer(TEXTS, padding=True, return_tensors="pt")
    found, _ = by_onnx(out, rows)
    given = {name: rows[name] for name in ("input_ids", "attention_mask")}
    assert torch.equal(found, generated(heedful.load(changed).eval(), given))


def test_two_graphs_of_a_folder(checkpoint, texts):
    folder = checkpoint("T5ForConditionalGeneration", KINDS["T5ForConditionalGeneration"])
    made = graphs_of_checkpoint(opened_for_export(folder, texts))
    start, step = made.graphs
    assert start.inputs == ("input_ids", "attention_mask")
    assert {"past_layer_1_self_key", "layer_1_cross_value"} <= set(step.inputs)
    assert step.axes["past_layer_0_self_value"] == {0: "batch", 2: "past"}
    assert step.axes["layer_0_cross_key"] == {0: "batch", 2: start.axes["input_ids"][1]}
    assert "layer_0_cross_key" in made.kept


def test_a_config_must_know_the_first_token():
    config = T.BartConfig(**{**SIZES, "decoder_start_token_id": None, "bos_token_id": None})
    model = model_of("BartForConditionalGeneration", config)
    with pytest.raises(UnsupportedError, match=r"got no decoder_start_token_id in BartConfig"):
        writer_of(model, ("input_ids",), None)


def test_a_decoder_must_keep_a_cache():
    model = model_of("BartForConditionalGeneration", KINDS["BartForConditionalGeneration"])
    whole = model.forward
    model.forward = lambda **given: whole(**{**given, "past_key_values": None, "use_cache": False})
    writer = writer_of(model, ("input_ids",), None)
    with pytest.raises(UnsupportedError, match=r"got none of BartForConditionalGeneration"):
        writer.begin((torch.tensor([[4, 5]]),))
