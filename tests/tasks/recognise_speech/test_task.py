"""Speech recognition keeps to what every task keeps to, and learns to write down two keys."""

import re
from typing import ClassVar

import numpy as np
import pytest

from heedful.data.load_sounds import draw_tones
from heedful.data.sounds import SoundReference, write_sound
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.recognise_speech.task import RecogniseSpeech, texts_of, typed
from heedful.testing.tasks import TaskContract
from heedful.training.start import build, train

pytest.importorskip("soundfile", reason="the extra sound is not installed")
SMALL = {"width": 16, "channels": 8, "layers": 1, "heads": 2, "feedforward": 16, "stride": 4}


def edits(a, b):
    """Levenshtein's distance by its recursion."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


class TestRecogniseSpeech(TaskContract):
    task = RecogniseSpeech
    inputs = ("tones:59:desk:7", " tones:0 ")
    budget = "character_error_rate 50"
    learns = (
        *("train.steps=150", "train.learning_rate=0.01", "train.seconds_per_batch=4"),
        *("train.ctc_weight=0.5", "train.label_smoothing=0", "sound.masks=0"),
        *("sound.stretch=0", "sound.warp=0", "model.dropout=0"),
    )
    remembered = 0.5
    tables: ClassVar = {
        "data": {
            **{"examples": 60, "dev": 12, "test": 12, "lines": ["desk"]},
            **{"fewest": 1, "most": 2},
        },
        "sound": {"bands": 20},
        "model": SMALL,
        "train": {"steps": 6, "seconds_per_batch": 8.0},
    }

    def expected(self, answers, examples):
        pairs = [(answer.text, each.label) for answer, each in zip(answers, examples, strict=True)]
        words = [(said.split(), true.split()) for said, true in pairs]
        return {
            "word_error_rate": 100 * sum(edits(*pair) for pair in words) / len(pairs),
            "character_error_rate": 100
            * sum(edits(*pair) for pair in pairs)
            / sum(len(true) for _, true in pairs),
            "exact_match": 100 * np.mean([said == true for said, true in pairs]),
        }

    @pytest.mark.parametrize("by", ["ctc", "attention"])
    def test_the_picture_is_of_tokens_and_spans(self, run, by):
        decode = run.config.decode.model_copy(update={"by": by, "max_length": 4})
        task = RecogniseSpeech(
            run.config.model_copy(update={"decode": decode}), run.task.vocabulary
        )
        example = task.parse("tones:59:desk:7")
        answer = task.answer(run.model, task.encode([example]))[0]
        picture = task.picture(run.model, example, answer)
        if picture is None:
            assert not answer.text
        else:
            assert "".join(picture.target).strip() == answer.text
            assert all(sum(row) == pytest.approx(1) for row in picture.weights)

    def test_an_answer_names_its_file(self, run):
        example = run.task.parse("tones:5")
        answer = run.task.answer(run.model, run.task.encode([example]))[0]
        assert run.task.to_json(example, answer) == {"file": "tones:5", "text": answer.text}
        assert run.task.blank("") == {"file": "", "text": None}
        assert run.task.kind(run.examples("test")[0]) == "desk"
        assert run.task.details([]) == {"decoder": "ctc", "beam": 1}

    def test_the_truth_is_that_of_the_rows(self, run):
        batch = run.task.encode(run.examples("test")[:5]).batch(range(5), "cpu")
        assert run.task.truth(batch).tolist() == run.task.rows(run.model, batch).truth.tolist()

    def test_what_is_no_sound_is_refused(self, run):
        with pytest.raises(
            DataError, match=re.escape("a sound must be named by its path, got ' '")
        ):
            run.task.parse(" ")


def test_a_sound_without_room_for_its_text_is_refused():
    config = parse_config({"task": "recognise-speech", "data": {"lines": ["desk"]}})
    good = draw_tones(3, lines=["desk"], seed=1)
    task = RecogniseSpeech.fit(config, [*good, SoundReference("", label="77")])
    bad = [SoundReference(good[0].file, "7" * 40, good[0].hash)]
    want = "must last 3.16 seconds or more for the text '7777"
    with pytest.raises(DataError, match=re.escape(want)):
        task.encode(bad, training=True)
    assert len(task.encode(bad)) == 1


def test_texts_are_typed_alike_and_first_words_are_like_others():
    tables = {"task": "recognise-speech", "tokens": {"kind": "words"}}
    config = parse_config(tables)
    [example] = typed(config, [SoundReference("x", " Call  Ann\u0061\u0308 ")])
    assert example.label == "call annä"
    tones = draw_tones(2, lines=["desk"], seed=1)
    given = [SoundReference(e.file, "ann call ann", e.hash) for e in tones]
    task = RecogniseSpeech.fit(config, given)
    first, *_ = texts_of(task.encode(given))
    assert first.tolist() == [1, 4, 5, 4, 2]
    answers = task.answer(build(task).eval(), task.encode(given))
    assert all(answer.text == answer.text.strip() for answer in answers)
    as_typed = parse_config({**tables, "tokens": {"lowercase": False}})
    assert typed(as_typed, [SoundReference("x", "Ann")])[0].label == "Ann"


def hummed(keys, draw):
    """A hum for each key, a low one or a high one, with pauses and faint noise."""
    parts = [np.zeros(800)]
    for key in keys:
        time = np.arange(int(draw.uniform(0.1, 0.2) * 8_000)) / 8_000
        parts += [np.sin(2 * np.pi * {"1": 500, "9": 1_500}[key] * time), np.zeros(800)]
    return np.concatenate(parts) / 2 + draw.normal(0, 0.01, sum(map(len, parts)))


def test_what_is_dialled_is_learned_from_files(tmp_path):
    """A few seconds of training on a table must beat writing nothing by far."""
    for part, count in (("train", 60), ("test", 20)):
        rows = ["path\ttext"]
        for number in range(count):
            keys = ("1", "9", "19", "91")[number % 4]
            sound = hummed(keys, np.random.default_rng([number, part == "test"]))
            write_sound(tmp_path / f"{part}{number}.wav", sound, 8_000)
            rows.append(f"{part}{number}.wav\t{keys}")
        (tmp_path / f"{part}.tsv").write_text("\n".join(rows) + "\n")
    paths = {part: str(tmp_path / f"{part}.tsv") for part in ("train", "test")}
    tables = {
        "task": "recognise-speech",
        "output": str(tmp_path / "run"),
        "data": {"name": "table", "rate": 8_000, **paths},
        "sound": {"bands": 20, "masks": 0},
        "model": {**SMALL, "dropout": 0},
        "train": {"steps": 80, "learning_rate": 0.01, "seconds_per_batch": 6.0, "ctc_weight": 0.7},
    }
    run = train(tables)
    examples = run.examples("test")
    answers = run.task.answer(run.model, run.task.encode(examples))
    wrong = sum(edits(a.text, e.label) for a, e in zip(answers, examples, strict=True))
    assert wrong <= 0.5 * sum(len(each.label) for each in examples)
    assert run.task.read_training(run.config) == run.task.read(run.config).train
    assert run.task.read_file(run.config, paths["test"]) == examples
    tones = parse_config({"task": "recognise-speech"})
    assert RecogniseSpeech.read_file(tones, paths["test"]) == examples
