"""What a model of transformers is called with, as batches say it."""

import pytest

from heedful.optimizing.outputs import call_model

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")

WORDS = {"vocab_size": 40, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
SIZES = {
    **{"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 3},
    **{"decoder_attention_heads": 3, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
    **{"decoder_start_token_id": 2, **WORDS},
}
SPEECH = {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 12}
LABELS = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 2, -100, -100]])


def made(name, config, **more):
    torch.manual_seed(0)
    settings = getattr(T, f"{config}Config")(**SIZES, **more)
    return getattr(T, name)(settings).eval()


def text(count):
    return torch.randint(3, 40, (2, count), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "kind, more, given",
    [
        ("Bart", {}, {"input_ids": text(6)}),  # has a method that shifts labels
        ("MBart", {}, {"input_ids": text(6)}),  # its own, which begins with the language
        ("M2M100", {}, {"input_ids": text(6)}),  # these shift within alone
        ("Blenderbot", {}, {"input_ids": text(6)}),
        ("Whisper", SPEECH, {"input_features": torch.randn(2, 8, 20)}),
    ],
)
def test_a_decoder_reads_what_transformers_makes_of_the_labels(kind, more, given):
    model = made(f"{kind}ForConditionalGeneration", kind, **more)
    with torch.inference_mode():
        expected = model(**given, labels=LABELS).logits
        found = call_model(model, {**given, "labels": LABELS}).logits
    asked = LABELS != -100
    assert torch.equal(found[asked], expected[asked])
    assert not torch.equal(found[asked], found.roll(1, 0)[asked])


def test_labels_of_what_writes_nothing_are_no_text():
    model = made("BartForSequenceClassification", "Bart", num_labels=3)
    given = {"input_ids": torch.cat([text(5), torch.full((2, 1), 2)], 1)}
    with torch.inference_mode():
        expected = model(**given).logits
        found = call_model(model, {**given, "labels": torch.tensor([0, 2])}).logits
    assert torch.equal(found, expected)
