"""Checkpoints explained: what they answered, and which words of a text that rests on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.checkpoints.explain import WRITTEN, explain_checkpoint
from heedful.checkpoints.folder import open_checkpoint
from heedful.errors import DataError, UnsupportedError
from heedful.explaining.scores import log_odds

T = pytest.importorskip("transformers")
TEXT = "a b c d e"


def read(folder, text=TEXT):
    """The model of a folder, its tokeniser, and a text as it reads it."""
    tokenizer = T.AutoTokenizer.from_pretrained(folder)
    return open_checkpoint(folder).model, tokenizer, tokenizer(text, return_tensors="pt")


@torch.inference_mode()
def written(model, inputs):
    """The tokens that a model writes, likeliest first, with what it begins with."""
    return model.generate(
        input_ids=inputs.input_ids,
        attention_mask=inputs.attention_mask,
        max_new_tokens=WRITTEN,
        do_sample=False,
    )[0]


def without(tokens, place, mask):
    """Tokens, one of which is hidden."""
    return tokens.masked_fill(torch.arange(tokens.shape[1]) == place, mask)


@pytest.fixture
def classifier(save, sizes):
    labels = {0: "bad", 1: "fair", 2: "good"}
    config = T.BertConfig(**sizes, id2label=labels, label2id={n: i for i, n in labels.items()})
    return save("BertForSequenceClassification", config)


def test_occlusion_of_a_label_is_what_leaving_out_each_word_costs(classifier):
    model, _, inputs = read(classifier)
    with torch.inference_mode():
        label = model(**inputs).logits.argmax(1)
        whole = log_odds(model(**inputs).logits, label)
        falls = [
            whole - log_odds(model(without(inputs.input_ids, n, 4)).logits, label)
            for n in range(1, 6)
        ]
    found = explain_checkpoint(classifier, TEXT, method="occlusion", test=False)
    assert found.pieces == ("a", "b", "c", "d", "e")
    assert found.title == f"{TEXT} → {model.config.id2label[int(label)]}"
    np.testing.assert_allclose(found.weights[0], torch.cat(falls).numpy(), atol=1e-5)


@pytest.mark.parametrize("said", ['"pooling_mode_cls_token": true', '"pooling_mode": "cls"'])
def test_a_vector_is_pooled_as_the_folder_says(encoder, said):
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(f"{{{said}}}")
    model, _, inputs = read(encoder)
    with torch.inference_mode():
        own = model(**inputs).last_hidden_state[0, 0]
        other = model(without(inputs.input_ids, 2, 4)).last_hidden_state[0, 0]
    found = explain_checkpoint(encoder, TEXT, method="occlusion", test=False)
    assert found.title == TEXT
    assert found.weights[0, 1] == pytest.approx(
        float(own.norm() - other @ own / own.norm()), abs=1e-5
    )


@pytest.mark.parametrize(
    "said, got",
    [
        ('"pooling_mode": "weightedmean"', "weightedmean"),
        ('"pooling_mode": ["cls", "mean"]', "cls, mean"),
        ('"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true', "cls, max"),
    ],
)
def test_another_pooling_is_refused(encoder, said, got):
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(f"{{{said}}}")
    with pytest.raises(UnsupportedError, match=f"must name one of cls, .*, got {got}$"):
        explain_checkpoint(encoder, TEXT, method="occlusion", test=False)


def unending(folder: Path):
    """A folder whose model ends no text."""
    config = folder / "generation_config.json"
    T.GenerationConfig(pad_token_id=0, decoder_start_token_id=0).save_pretrained(folder)
    assert config.is_file()
    return folder


def test_a_language_model_is_asked_for_what_it_goes_on_with(save, sizes):
    folder = unending(save("LlamaForCausalLM", T.LlamaConfig(**sizes, eos_token_id=None)))
    model, tokenizer, inputs = read(folder)
    row = written(model, inputs)[inputs.input_ids.shape[1] :]
    found = explain_checkpoint(folder, TEXT, draws=20, paths=1)
    assert 0 < len(found.targets) <= WRITTEN
    assert (
        list(found.targets) == [tokenizer.decode([n]) for n in row.tolist()][: len(found.targets)]
    )
    assert found.verdict is not None
    assert found.method == "gradient-attention"
    assert len(found.paths) == len(found.targets)


def test_an_encoder_decoder_is_asked_for_what_it_writes(save, sizes):
    config = T.T5Config(
        **{"vocab_size": sizes["vocab_size"], "d_model": 12, "d_kv": 4, "d_ff": 20},
        **{"num_layers": 2, "num_heads": 3, "pad_token_id": 0, "eos_token_id": 3},
        **{"decoder_start_token_id": 0, "initializer_factor": 8.0},
    )
    folder = unending(save("T5ForConditionalGeneration", config))
    model, tokenizer, inputs = read(folder)
    found = explain_checkpoint(folder, TEXT, method="occlusion", test=False)
    assert found.pieces == ("a", "b", "c", "d", "e")
    row = written(model, inputs)[1:]
    with torch.inference_mode():
        before = torch.cat([torch.zeros(1, 1, dtype=torch.long), row[None, :-1]], 1)
        scores = [
            log_odds(model(input_ids=tokens, decoder_input_ids=before).logits, row[None])[0, 0]
            for tokens in (inputs.input_ids, without(inputs.input_ids, 3, 4))
        ]
    assert found.targets[0] == tokenizer.decode([int(row[0])])
    assert found.weights[0, 2] == pytest.approx(float(scores[0] - scores[1]), abs=1e-4)


@pytest.mark.parametrize(
    "text, message",
    [
        (" ", "must hold something to explain, got ' '"),
        ("a " * 40, "a text must have at most 30 tokens, as many as the model reads, got 42"),
    ],
)
def test_what_cannot_be_read_is_refused(classifier, text, message):
    with pytest.raises(DataError, match=message):
        explain_checkpoint(classifier, text)


def test_what_does_something_else_is_refused_by_name(save, sizes):
    folder = save("BertForMaskedLM", T.BertConfig(**sizes))
    with pytest.raises(UnsupportedError, match="to be explained, got BertForMaskedLM"):
        explain_checkpoint(folder, TEXT)


def test_a_model_that_writes_nothing_is_told(save, sizes, monkeypatch):
    folder = save("LlamaForCausalLM", T.LlamaConfig(**sizes))
    ended = torch.tensor([[2, 5, 3, 0, 0]])  # behind the three tokens of the text: padding
    monkeypatch.setattr(T.LlamaForCausalLM, "generate", lambda *_, **__: ended)
    with pytest.raises(DataError, match="must write something to be explained, got the end"):
        explain_checkpoint(folder, "a")
