"""Images, sounds and texts of one thing: a blank is missing, a bad row is refused with its line."""

import json
import re

import numpy as np
import pytest

from heedful.data.hashes import hash_array
from heedful.data.sounds import write_sound
from heedful.errors import DataError
from heedful.tasks.columns import Columns
from heedful.tasks.fuse.config import DigitsData, TableData
from heedful.tasks.fuse.digits import WORDS
from heedful.tasks.fuse.observations import (
    Observation,
    Observations,
    load_images,
    load_sounds,
    make_digits,
    parse,
    read_image,
    read_table,
)
from heedful.tasks.spectrograms import Sound, Spectrograms

Image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
pytest.importorskip("sklearn", reason="the extra images is not installed")
pytest.importorskip("soundfile", reason="the extra sound is not installed")
DIGITS = DigitsData(images=400, dev=30, test=40)


@pytest.fixture
def table(tmp_path):
    """A table whose rows miss one thing after the other, and what reads it."""
    Image.new("L", (9, 9), 77).save(tmp_path / "a.png")
    write_sound(tmp_path / "a.wav", np.sin(np.arange(4_000) / 3).tolist(), 8_000)
    rows = ["image,sound,text,label", "a.png,a.wav,one,x", "a.png,,,y", ",a.wav,,x", ",, two ,y"]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path, TableData(train=str(path), dev=str(path), size=8, rate=8_000, colour=False)


def test_what_is_blank_is_missing(table):
    path, data = table
    examples = read_table(data, path)
    there = [(bool(e.image), bool(e.sound), e.text, e.label) for e in examples]
    assert there == [
        (True, True, "one", "x"),
        (True, False, "", "y"),
        (False, True, "", "x"),
        (False, False, "two", "y"),
    ]
    assert load_images(examples, data)[:, 4, 4, 0].tolist() == [77, 77, 0, 0]
    frames = [len(each) for each in load_sounds(examples, data, Sound(bands=10))]
    assert frames == [51, 1, 51, 1]
    (path.parent / "b.tsv").write_text("label\ttext\nx\tone\n", encoding="utf-8")
    bare = data.model_copy(update={"sound": None, "image": None})
    assert read_table(bare, path.parent / "b.tsv") == [Observation(text="one", label="x")]


@pytest.mark.parametrize(
    "line, message",
    [
        (",,,x", "train.csv:6: an example must have one of image, sound, text, got none"),
        ("a.png,,one,", "train.csv:6 must have a text in column 'label', got ''"),
        ("b.png,,one,x", "b.png must be an image, got no such file"),
        ("a.wav,,one,x", "a.wav must be a PNG or JPEG image, got: "),
        (",b.wav,one,x", "b.wav must be a WAV or FLAC file, got no such file"),
        (",a.png,one,x", "a.png must be a WAV or FLAC file, got: "),
        (",,one,z", "train.csv:6 must have a label of the training split, got 'z'"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(table, line, message):
    path, data = table
    path.write_text(path.read_text() + f"\n{line}", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_table(data, path, known={"x", "y"})
    assert f"{path}:6" in str(caught.value)


def test_other_rates_are_refused(table):
    path, data = table
    with pytest.raises(DataError, match=r"train.csv:2: .*must have 16,000 samples a second"):
        read_table(data.model_copy(update={"rate": 16_000}), path)


def test_files_that_have_changed_are_noticed(table):
    path, data = table
    examples = read_table(data, path)
    Image.new("L", (9, 9), 78).save(path.parent / "a.png")
    write_sound(path.parent / "a.wav", [0.5] * 4_000, 8_000)
    with pytest.raises(DataError, match=r"a.png must hold the pixels that it had when it became"):
        load_images(examples, data)
    with pytest.raises(DataError, match=r"a.wav must be the sound that was held out, got other"):
        load_sounds(examples, data, Sound(bands=10))


def test_digits_are_of_one_split_and_of_one_label():
    splits = make_digits(DIGITS, seed=1)
    images = [{each.image for each in part} for part in (splits.train, splits.dev, splits.test)]
    assert not images[0] & images[1] | images[0] & images[2] | images[1] & images[2]
    assert [len(splits.train), len(splits.dev), len(splits.test)] == [2 * 330, 30, 40]
    assert len({each.sound for each in splits.train}) > 655
    for each in splits.train:
        assert each.sound.startswith(f"tones:{each.label}:")
        assert len(each.text) == len(WORDS[int(each.label)])
    plain = make_digits(DIGITS.model_copy(update={"typos": 0.0}), seed=1)
    assert all(each.text == WORDS[int(each.label)] for each in plain.test)
    assert make_digits(DIGITS, seed=1) == splits
    typed = [
        "".join(each.text for each in splits.train),
        "".join(WORDS[int(each.label)] for each in splits.train),
    ]
    wrong = np.mean(np.array(list(typed[0])) != np.array(list(typed[1])))
    assert wrong == pytest.approx(0.5 * 25 / 26, abs=0.04)


def test_too_many_held_out_digits_are_refused():
    with pytest.raises(DataError, match=r"must leave images to learn from, got 900 and 900 of 1,7"):
        make_digits(DigitsData(dev=900, test=900), seed=1)


@pytest.mark.parametrize(
    "text",
    [
        "image=a.png; sound = a.wav;text=one two",
        '{"image": "a.png", "sound": "a.wav", "text": "one two"}',
    ],
)
def test_what_a_user_types_is_pairs_or_json(table, text, monkeypatch):
    path, data = table
    monkeypatch.chdir(path.parent)
    example = parse(text, data)
    assert (example.image, example.text) == (str(path.parent / "a.png"), "one two")
    assert example.image_hash == hash_array(read_image("a.png", data))
    assert example.sound_hash == read_table(data, path)[0].sound_hash
    assert parse('{"text": "one", "image": null}', data) == Observation(text="one")


def test_made_digits_are_typed_after_made_digits():
    example = parse("image=digit:3:10; sound=tones:5:desk:1", DIGITS)
    assert (example.image, example.sound) == ("digit:3:10", "tones:5:desk:1")
    assert load_images([example], DIGITS).shape == (1, 8, 8, 1)
    assert len(load_sounds([example], DIGITS, Sound())[0]) > 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "an example must have one of image, sound, text, got none"),
        ("text=", "an example must have one of image, sound, text, got none"),
        ("text=\u200b", "an example must have one of image, sound, text, got none"),
        ("seven", "an input must look like 'image=a.png; sound=b.wav; text=seven', or be a"),
        ("smell=x", "with some of these, got 'smell'"),
        ("text=a; text=b", "an input must name each modality once, got 'text=a; text=b'"),
        ("{", "an input must be a whole JSON object, got: "),
        ('{"text": 3}', "'text' of an input must be a text or null, got 3"),
        ("image=digit:1797", "a digit must look like digit:17:60, with an image below 1,797"),
        ("image=digit:x", "a digit must look like digit:17:60"),
        ("image=digit:1:x", "a digit must look like digit:17:60"),
        ("sound=tones:", "tones must look like tones:5:desk:7"),
        ("image=no.png", "no.png must be an image, got no such file"),
    ],
)
def test_what_is_no_input_is_refused(text, message):
    with pytest.raises(DataError, match=re.escape(message)):
        parse(text, DIGITS)


def test_a_list_is_no_json_object():
    with pytest.raises(DataError, match="an input must look like"):
        parse(json.dumps(["text"]), DIGITS)


def test_batches_are_of_examples():
    columns = Columns(label=np.arange(3))
    data = Observations(Spectrograms([np.zeros((n, 4), np.float32) for n in (9, 1, 30)], columns))
    assert len(data) == 3
    assert data.sizes.tolist() == [[1]] * 3
    assert data.amounts.tolist() == [1] * 3
    batch = data.batch([0, 2], "cpu")
    assert batch["features"].shape == (2, 32, 4)
    assert batch["label"].tolist() == [0, 2]
    assert data.fingerprint() == data.sounds.fingerprint()
