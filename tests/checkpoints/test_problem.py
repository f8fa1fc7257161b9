"""Every kind of checkpoint as a problem: what it answers, and what that is compared with."""

import csv
import math
import random

import numpy as np
import pytest

from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import head_of
from heedful.checkpoints.optimize import budget_for
from heedful.checkpoints.problem import problem_of_checkpoint, read_splits
from heedful.errors import ConfigError, DataError

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")


def made(folder, data, lose, *, columns=None, quality=None):
    checkpoint = open_checkpoint(folder)
    head = head_of(checkpoint)
    where = CheckpointData(path=data, columns=columns or {})
    budget = budget_for(head, lose, own=quality is not None)
    splits = read_splits(head, where)
    found = problem_of_checkpoint(checkpoint, head, splits, budget, quality=quality)
    return head, found, found.problem


def score(problem, split="dev"):
    return problem.metric.score(problem.statistics(problem.model, split))


@pytest.fixture
def tables(tmp_path, texts):
    """A table of 300 different texts, with what else a head may want."""

    def write(**columns):
        path = tmp_path / "table.csv"
        rows = [{"text": text, **{k: f(text) for k, f in columns.items()}} for text in texts(300)]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def test_an_encoder_is_as_near_to_itself_as_can_be(encoder, lines):
    _, found, problem = made(encoder, lines, "cosine 0.1")
    assert score(problem) == pytest.approx(1)
    assert problem.kind == "values"
    assert problem.dev_examples == len(found.splits.dev)
    other = T.BertModel(T.BertConfig(**problem.model.config.to_diff_dict())).eval()
    moved = problem.metric.score(problem.statistics(other, "test"))
    assert -1 <= moved < 0.999


def test_labels_are_right_where_they_are_known_and_the_original_s_where_not(save, sizes, tables):
    names = {0: "no", 1: "yes", 2: "maybe"}
    folder = save(
        "BertForSequenceClassification",
        T.BertConfig(**sizes, id2label=names, label2id={v: k for k, v in names.items()}),
    )
    path = tables(label=lambda text: names[len(text.split()) % 3])
    _, found, problem = made(folder, path, "accuracy 5")
    reader = T.AutoTokenizer.from_pretrained(folder)
    right = []
    for example in found.splits.dev:
        with torch.inference_mode():
            said = problem.model(**reader(example.text, return_tensors="pt")).logits
        right.append(names[int(said.argmax())] == example.label)
    assert score(problem) == pytest.approx(100 * np.mean(right))
    assert problem.kind == "logits"
    assert problem.truth is not None
    assert score(made(folder, path, "agreement 5")[2]) == 100
    unlabelled = tables(other=len)
    assert score(made(folder, unlabelled, "agreement 5")[2]) == 100
    with pytest.raises(ConfigError, match=r"accuracy must have data with labels, got none"):
        score(made(folder, unlabelled, "accuracy 5")[2])
    with pytest.raises(DataError, match=r"labels must be of no, yes, maybe, got 'perhaps'"):
        made(folder, tables(label=lambda _: "perhaps"), "accuracy 5")


def test_labels_of_all_examples_or_of_none(save, sizes, tmp_path):
    folder = save("BertForSequenceClassification", T.BertConfig(**sizes))
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "a b", "label": 1}\n{"text": "a c"}\n')
    with pytest.raises(DataError, match=r"all examples or none must have a label, got 1 of 2 "):
        made(folder, path, "accuracy 1")


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_language_models_are_judged_by_what_words_cost(save, sizes, lines, kind):
    if kind == "causal":
        config = T.GPT2Config(
            vocab_size=sizes["vocab_size"], n_embd=12, n_layer=2, n_head=3, n_positions=40
        )
        folder = save("GPT2LMHeadModel", config)
    else:
        folder = save("BertForMaskedLM", T.BertConfig(**sizes))
    head, found, problem = made(folder, lines, "loss 1%")
    assert not problem.metric.higher_is_better
    total, count = 0.0, 0
    for example in found.splits.dev:
        batch = head.batch([example])
        with torch.inference_mode():
            ids, mask = batch["input_ids"], batch["attention_mask"]
            logits = problem.model(input_ids=ids, attention_mask=mask).logits[0].double()
        labels = batch["labels"][0].tolist()
        places = [(n - (kind == "causal"), word) for n, word in enumerate(labels) if word != -100]
        for place, word in places:
            if place >= 0:
                total -= math.log(logits[place].softmax(-1)[word])
                count += 1
    assert score(problem) == pytest.approx(total / count, rel=1e-4)
    perplexity = made(folder, lines, "perplexity 1%")[2]
    assert score(perplexity) == pytest.approx(math.exp(total / count), rel=1e-3)
    assert problem.truth is not None


@pytest.fixture
def translator(save, sizes):
    config = T.BartConfig(
        vocab_size=sizes["vocab_size"], d_model=12, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_position_embeddings=160, pad_token_id=0, bos_token_id=2,
        eos_token_id=3, decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    return save("BartForConditionalGeneration", config)


def test_what_writes_is_compared_with_targets_or_with_the_original(translator, tables, lines):
    _, found, problem = made(translator, lines, "chrf 1")
    assert score(problem) == pytest.approx(100)
    assert all(example.target for example in found.splits.test)
    assert problem.truth is not None  # what the original wrote
    assert problem.work(problem.model) is True
    path = tables(target=lambda text: " ".join(reversed(text.split())))
    assert score(made(translator, path, "chrf 1")[2]) < 100
    loss = score(made(translator, path, "loss 1%")[2])
    assert 0 < loss < 10


def test_what_a_text_begins_with_is_read_once(translator, tables):
    """The model puts it before all labels, and its tokeniser does so too, as Whisper's."""
    _, _, problem = made(translator, tables(target=lambda text: text), "loss 1%")
    batch = problem.calibration[0]
    read = []
    problem.model.model.decoder.embed_tokens.register_forward_pre_hook(
        lambda _, given: read.append(given[0].clone())
    )
    with torch.inference_mode():
        problem.model(**batch)
    *_, tokens = read  # the decoder's: it shares its embedding with the encoder
    assert (tokens == 2).sum(1).tolist() == [1] * len(tokens)
    assert (batch["labels"][:, 0] > 4).all()  # a word, which follows what a text begins with


def test_a_metric_of_the_user_sees_the_batches_in_order(save, sizes, tables):
    folder = save("BertForSequenceClassification", T.BertConfig(**sizes))
    seen = []

    def quality(model, batches):
        seen.append([batch["labels"].tolist() for batch in batches])
        assert not model.training
        return [float(len(ids)) for batch in batches for ids in batch["input_ids"]]

    path = tables(label=lambda text: str(len(text.split()) % 2))
    _, found, problem = made(folder, path, "length 1", quality=quality)
    statistics = problem.statistics(problem.model, "dev")
    assert statistics.shape == (problem.dev_examples, 2)
    assert [int(x.label) for x in found.splits.dev] != []
    assert problem.metric.name == "length"
    for wrong, must in [(lambda *_: 3.0, "got: "), (lambda *_: [1.0], "of dev, got 1 for ")]:
        with pytest.raises(ConfigError, match=must):
            score(made(folder, path, "length 1", quality=wrong)[2])


def sounds(folder, count):
    from heedful.data.sounds import write_sound

    draw = random.Random(3)
    for number in range(count):
        length = draw.randint(1_200, 2_000)
        tone = 200 + 17 * number
        wave = [0.3 * math.sin(tone * at / 16_000 * 6.283) for at in range(length)]
        path = folder / f"{'high' if number % 2 else 'low'}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sound(path, wave, 16_000)
    return folder


WAVES = {
    "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 16,
    "conv_dim": (8, 8), "conv_stride": (10, 8), "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer",
    "mask_time_prob": 0.0, "classifier_proj_size": 8,
}  # fmt: skip


def test_sounds_get_labels(save, tmp_path):
    pytest.importorskip("soundfile")
    reader = T.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    names = {0: "low", 1: "high"}
    config = T.Wav2Vec2Config(**WAVES, id2label=names, label2id={"low": 0, "high": 1})
    folder = save("Wav2Vec2ForSequenceClassification", config, reader)
    data = sounds(tmp_path / "sounds", 260)
    _, found, problem = made(folder, data, "agreement 5")
    assert score(problem) == 100
    assert {example.label for example in found.splits.dev} == {"low", "high"}
    assert 20 < score(made(folder, data, "accuracy 5")[2]) < 80


def test_speech_is_compared_with_what_the_original_hears(save, sizes, tmp_path, tokenizer):
    pytest.importorskip("soundfile")
    reader = T.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    config = T.Wav2Vec2Config(**WAVES, vocab_size=sizes["vocab_size"], pad_token_id=0)
    folder = save("Wav2Vec2ForCTC", config, reader)
    tokenizer().save_pretrained(folder)
    head, _, problem = made(folder, sounds(tmp_path / "sounds", 260), "word_error_rate 5")
    assert score(problem) == 0
    batch = problem.calibration[0]
    inside = sum(len(problem.outputs(problem.model, b)) for b in problem.calibration)
    padded = sum(problem.model(**b).logits[..., 0].numel() for b in problem.calibration)
    assert inside < padded  # frames of padding do not count
    assert problem.outputs(problem.model, batch).shape[-1] == sizes["vocab_size"]
    assert len(head.processors) == 2


def test_images_get_labels(save, tmp_path):
    image = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(1)
    for number in range(260):
        path = tmp_path / "images" / f"{'cat' if number % 2 else 'dog'}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(draw.integers(0, 255, (9, 10, 3), np.uint8)).save(path)
    config = T.ViTConfig(
        hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=16,
        image_size=8, patch_size=4, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    reader = T.ViTImageProcessor(size={"height": 8, "width": 8})
    folder = save("ViTForImageClassification", config, reader)
    _, _, problem = made(folder, tmp_path / "images", "agreement 5")
    assert score(problem) == 100
    assert tuple(problem.calibration[0]["pixel_values"].shape[1:]) == (3, 8, 8)
    vit = save("ViTModel", config, reader, name="vit")
    assert score(made(vit, tmp_path / "images", "cosine 0.1")[2]) == pytest.approx(1)
