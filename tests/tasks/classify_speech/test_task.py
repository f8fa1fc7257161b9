"""Speech classification keeps to what every task keeps to, reads files, and beats guessing."""

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from heedful.data.load_sounds import draw_tones
from heedful.data.sounds import write_sound
from heedful.data.tones import make_tones
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_speech.task import ClassifySpeech
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import train

pytest.importorskip("soundfile", reason="the extra sound is not installed")
SMALL = {"width": 16, "channels": 8, "layers": 1, "heads": 2, "feedforward": 16}


class TestClassifySpeech(ClassificationContract):
    task = ClassifySpeech
    inputs = ("tones:5:desk:7", " tones:0 ")
    learns = (
        *("train.steps=60", "train.learning_rate=0.01", "train.label_smoothing=0"),
        *("sound.masks=0", "sound.stretch=0", "sound.warp=0", "model.dropout=0"),
    )
    tables: ClassVar = {
        "data": {"examples": 120, "dev": 24, "test": 24, "lines": ["desk"]},
        "sound": {"bands": 20},
        "model": SMALL,
        "train": {"steps": 6, "seconds_per_batch": 8.0},
    }

    def test_the_picture_is_of_spans_of_the_sound(self, run):
        task = run.task
        example = task.parse("tones:5:desk:7")
        data = task.encode([example])
        answer = task.answer(run.model, data)[0]
        picture = task.picture(run.model, example, answer)
        assert len(picture.source) == -(-int(data.lengths[0]) // 4)
        assert picture.source[:2] == ("0.00", "0.04")
        assert picture.target == (answer.label,)
        assert sum(picture.weights[0]) == pytest.approx(1)

    def test_an_answer_names_its_file_and_its_kind_is_who_speaks(self, run):
        task = run.task
        example = run.examples("test")[0]
        answer = task.answer(run.model, task.encode([example]))[0]
        assert task.to_json(example, answer)["file"] == example.file
        assert task.blank(" ") == {"file": " ", "label": None, "shares": {}}
        assert task.kind(example) == "desk"
        assert task.kind(task.parse("tones:5")) == ""

    def test_what_is_no_sound_is_refused(self, run):
        with pytest.raises(
            DataError, match=re.escape("a sound must be named by its path, got ' '")
        ):
            run.task.parse(" ")
        with pytest.raises(DataError, match="must be a WAV or FLAC file, got no such file"):
            run.task.parse("none.wav")


def test_without_attention_it_has_no_picture():
    examples = draw_tones(4, lines=["desk"], keys="12", seed=1)
    config = parse_config({"task": "classify-speech", "model": {"pooling": "mean"}})
    task = ClassifySpeech.fit(config, examples)
    assert task.picture(task.build(), examples[0], None) is None


def test_two_keys_are_learned_from_files(tmp_path):
    """A few seconds of training on a folder must beat guessing by far."""
    for part, count in (("train", 40), ("test", 30)):
        for key in "19":
            (tmp_path / part / key).mkdir(parents=True)
            for number in range(count):
                sound = make_tones(key, line="desk", seed=number + 1_000 * (part == "test"))
                write_sound(tmp_path / part / key / f"{number}.flac", sound, 8_000)
    paths = {part: str(tmp_path / part) for part in ("train", "test")}
    tables = {
        "task": "classify-speech",
        "output": str(tmp_path / "run"),
        "data": {"name": "folder", "rate": 8_000, "longest": 0.5, **paths},
        "model": SMALL,
        "sound": {"bands": 20},
        "train": {"steps": 60, "learning_rate": 0.01, "seconds_per_batch": 8.0},
    }
    run = train(tables)
    examples = run.examples("test")
    data = run.task.encode(examples)
    answers = run.task.answer(run.model, data)
    right = [a.label == e.label for a, e in zip(answers, examples, strict=True)]
    assert np.mean(right) >= 0.8
    whole = [
        make_tones(e.label, line="desk", seed=1_000 + int(Path(e.file).stem)) for e in examples
    ]
    assert run.task.remark(data, answers) == {"cut": sum(len(each) >= 4_000 for each in whole)}
    assert run.task.read_training(run.config) == run.task.read(run.config).train
    assert run.task.read_file(run.config, paths["test"]) == examples


def test_a_file_is_read_as_the_training_was(tmp_path):
    (tmp_path / "5").mkdir()
    sound = make_tones("5", line="desk", seed=1, rate=16_000)
    write_sound(tmp_path / "5" / "a.wav", sound, 16_000)
    (tmp_path / "t.csv").write_text("path,label\n5/a.wav,5\n")
    tones = parse_config({"task": "classify-speech"})
    folder = ClassifySpeech.read_file(tones, tmp_path)
    assert folder == ClassifySpeech.read_file(tones, tmp_path / "t.csv")
    assert (folder[0].label, folder[0].file) == ("5", str(tmp_path / "5" / "a.wav"))
    data = {"name": "table", "train": "x", "rate": 8_000}
    table = parse_config({"task": "classify-speech", "data": data})
    for path in (tmp_path, tmp_path / "t.csv"):
        with pytest.raises(DataError, match="must have 8,000 samples a second"):
            ClassifySpeech.read_file(table, path)
