"""Whisper: what it begins a text with, as its own processor says it, and nothing else said."""

import logging
import math

import pytest

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import head_of

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")
pytest.importorskip("soundfile")

MARKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")


def make_tokenizer(**told):
    """A letter is a token; behind them what Whisper adds, in its order."""
    from tokenizers import pre_tokenizers
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: number for number, letter in enumerate((*letters, "<|endoftext|>"))}
    made = T.WhisperTokenizer(vocab=vocab, merges=[])
    names = ("startoftranscript", *LANGUAGES, *MARKS)
    tokens = [T.AddedToken(f"<|{name}|>", special=True, normalized=False) for name in names]
    made.add_tokens(tokens, special_tokens=True)
    made.pad_token = "<|endoftext|>"
    made.set_prefix_tokens(**told)
    return made


@pytest.fixture
def whisper(save, tmp_path):
    """A multilingual Whisper with 24 places to write, and what it is told of languages."""

    def made(told_tokenizer=None, **told):
        from transformers.models.whisper.tokenization_whisper import LANGUAGES

        tokenizer = make_tokenizer(**(told_tokenizer or {}))
        number = tokenizer.convert_tokens_to_ids
        end = number("<|endoftext|>")
        config = T.WhisperConfig(
            vocab_size=len(tokenizer), num_mel_bins=8, d_model=12, encoder_layers=1,
            decoder_layers=1, encoder_attention_heads=3, decoder_attention_heads=3,
            encoder_ffn_dim=16, decoder_ffn_dim=16, max_source_positions=50,
            max_target_positions=24, pad_token_id=end, bos_token_id=end, eos_token_id=end,
            decoder_start_token_id=number("<|startoftranscript|>"),
        )  # fmt: skip
        reader = T.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
        processor = T.WhisperProcessor(feature_extractor=reader, tokenizer=tokenizer)
        folder = save("WhisperForConditionalGeneration", config, processor)
        languages = {f"<|{name}|>": number(f"<|{name}|>") for name in LANGUAGES}
        T.GenerationConfig(
            decoder_start_token_id=config.decoder_start_token_id, pad_token_id=end,
            eos_token_id=end, is_multilingual=True, lang_to_id=languages, max_length=24,
            begin_suppress_tokens=[end], suppress_tokens=[number("<|nospeech|>")],
            task_to_id={name: number(f"<|{name}|>") for name in MARKS[:2]},
            no_timestamps_token_id=number("<|notimestamps|>"), return_timestamps=False, **told,
        ).save_pretrained(folder)  # fmt: skip
        return folder

    return made


@pytest.fixture
def sounds(tmp_path):
    """Five sounds, and what is said in them."""
    from heedful.data.sounds import write_sound

    found = []
    for number in range(5):
        path = tmp_path / f"{number}.wav"
        wave = [0.3 * math.sin((2 + number) * at / 100) for at in range(4_000 + 900 * number)]
        write_sound(path, wave, 16_000)
        found.append(CheckpointExample(file=str(path), target=f"number {number * 111}"))
    return found


def opened(folder, examples):
    checkpoint = open_checkpoint(folder)
    head = head_of(checkpoint)
    return checkpoint.model, head, head.prepared(checkpoint.model, examples)


def set_language():
    return {"language": "<|fr|>", "task": "transcribe"}


def as_before_there_were_languages():
    forced = make_tokenizer().convert_tokens_to_ids("<|transcribe|>")
    return {"forced_decoder_ids": [[1, None], [2, forced]]}


@pytest.mark.parametrize("told", [set_language, as_before_there_were_languages])
def test_targets_begin_as_the_processor_begins_them(whisper, sounds, told):
    model, head, examples = opened(whisper(**told()), sounds)
    batch = head.batch(examples)
    languages = model.detect_language(batch["input_features"]).tolist()
    for labels, example, language in zip(batch["labels"], examples, languages, strict=True):
        code = "fr" if told is set_language else make_tokenizer().decode([language]).strip("<|>")
        own = make_tokenizer(language=code, task="transcribe")
        start, *wanted = own(example.target)["input_ids"]
        assert start == model.config.decoder_start_token_id  # which the model puts there itself
        assert labels[labels != -100].tolist() == wanted
    with torch.inference_mode():
        wanted = model(**batch).loss.item()
    costs, counts = zip(*head.answers(model, [examples], "loss"), strict=True)
    assert sum(costs) / sum(counts) == pytest.approx(wanted, rel=1e-5)


def test_a_tokeniser_that_was_told_a_language_is_believed(whisper, sounds):
    told = {"language": "de", "task": "transcribe"}
    _, head, examples = opened(whisper(told), sounds)
    (row,) = head.batch(examples[:1])["labels"]
    assert row.tolist() == make_tokenizer(**told)(examples[0].target)["input_ids"][1:]


def test_it_writes_as_far_as_there_are_places_and_says_nothing_else(whisper, sounds):
    from transformers.utils import logging as said

    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    said.add_handler(handler)
    try:
        model, head, examples = opened(whisper(**as_before_there_were_languages()), sounds)
        assert len(head.answers(model, [examples], "word_error_rate")) == 5
        assert head.work(model, [examples]) is True
    finally:
        said.remove_handler(handler)
    assert [record.getMessage() for record in heard] == []
    assert said.get_verbosity() == said.WARNING
