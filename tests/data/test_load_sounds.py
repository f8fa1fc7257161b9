"""From the `data` section of a config to references to sounds."""

import re

import numpy as np
import pytest

from heedful.data.load_sounds import (
    FolderData,
    NumbersData,
    TableData,
    TextsData,
    TonesData,
    draw_tones,
    load_sounds,
    load_training,
    problem_of,
    read_split,
    reader_of,
)
from heedful.data.sounds import write_sound
from heedful.data.tones import make_tones
from heedful.errors import ConfigError, DataError

pytest.importorskip("soundfile", reason="the extra sound is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five tones of each of two keys, as files and as a table."""
    root = tmp_path_factory.mktemp("sounds")
    rows = ["path,label,who"]
    for key in "12":
        (root / "all" / key).mkdir(parents=True)
        for number in range(5):
            sound = make_tones(key, line="desk", seed=number)
            write_sound(root / "all" / key / f"{number}.wav", sound, 8_000)
            rows.append(f"all/{key}/{number}.wav,{key},speaker {number % 2}")
    (root / "table.csv").write_text("\n".join(rows) + "\n")
    return root


def test_tones_are_labelled_with_their_keys_and_spoken_by_their_line():
    data = NumbersData(examples=60, dev=10, test=20, lines=("desk", "booth"), fewest=2, most=4)
    splits = load_sounds(data, 5)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [30, 10, 20]
    assert {len(each.label) for each in splits.train} == {2, 3, 4}
    assert {each.speaker for each in splits.train} == {"desk", "booth"}
    assert all(f"tones:{e.label}:{e.speaker}:" in e.file for e in splits.test)
    assert splits == load_sounds(data, 5) != load_sounds(data, 6)
    sounds = reader_of(data).load(splits.dev)
    assert {sound.dtype for sound in sounds} == {np.dtype(np.float32)}
    hashes = [each.hash for part in (splits.train, splits.dev, splits.test) for each in part]
    assert len(set(hashes)) == 60
    assert load_training(data, 5) == splits.train


def test_only_these_keys_are_dialled():
    assert {each.label for each in draw_tones(40, lines=["desk"], keys="*#")} == {"*", "#"}


def test_a_folder_gives_its_dev_split(folder):
    data = FolderData(train=str(folder / "all"), rate=8_000, dev_share=0.2)
    splits = load_sounds(data, 1)
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [8, 2, 0]
    files = [each.file for each in (*splits.train, *splits.dev)]
    assert sorted(files) == sorted(str(path) for path in (folder / "all").rglob("*.wav"))
    assert all(each.label == each.file.split("/")[-2] for each in splits.train)
    assert {each.label for each in splits.train} == {"1", "2"}
    assert load_training(data, 1) == splits.train
    given = data.model_copy(update={"dev": data.train, "test": data.train})
    assert [len(part) for part in vars(load_sounds(given, 1)).values()] == [10, 10, 10]


def test_a_table_names_files_beside_it(folder):
    data = TableData(train=str(folder / "table.csv"), rate=8_000, speaker="who")
    found = read_split(data, data.train)
    assert [each.label for each in found] == ["1"] * 5 + ["2"] * 5
    assert {each.speaker for each in found} == {"speaker 0", "speaker 1"}
    assert found[7].file == str(folder / "all" / "2" / "2.wav")


def test_training_keeps_a_sound_of_each_label(folder):
    (folder / "few.csv").write_text("path,label\nall/1/0.wav,1\nall/2/0.wav,2\nall/2/1.wav,2\n")
    data = TableData(train=str(folder / "few.csv"), rate=8_000, dev_share=0.9)
    splits = load_sounds(data, 1)
    assert ([e.label for e in splits.dev], len(splits.train)) == (["2"], 2)
    (folder / "few.csv").write_text("path,label\nall/1/0.wav,1\nall/2/0.wav,2\n")
    want = "must hold enough to learn from and a dev split, got 2 sounds of 2 labels"
    with pytest.raises(DataError, match=re.escape(want)):
        load_sounds(data, 1)


def test_texts_are_taken_out_whatever_they_say(folder):
    rows = [f"all/1/{n}.wav\tcall {n}" for n in range(5)]
    (folder / "texts.tsv").write_text("\n".join(["path\ttext", *rows]) + "\n")
    data = TextsData(train=str(folder / "texts.tsv"), rate=8_000, dev_share=0.4, longest=0.1)
    with pytest.raises(DataError, match=r"texts\.tsv:2: .*0\.wav must last at most 0\.1 seconds"):
        load_sounds(data, 0)
    splits = load_sounds(data.model_copy(update={"longest": 9.0}), 0)
    assert len(splits.dev) == 2
    assert {each.label for each in (*splits.train, *splits.dev)} == {f"call {n}" for n in range(5)}


def test_a_label_that_training_has_not_is_refused_with_its_place(folder):
    (folder / "other.csv").write_text("path,label\nall/1/0.wav,1\nall/1/1.wav,x\n")
    data = TableData(train=str(folder / "table.csv"), test=str(folder / "other.csv"), rate=8_000)
    want = "other.csv:3 must have a label of the training split, got 'x'"
    with pytest.raises(DataError, match=re.escape(want)):
        load_sounds(data, 0)
    assert len(load_training(data, 0)) == 9  # files of other splits may be gone
    given = data.model_copy(update={"dev": data.train, "test": None})
    assert len(load_training(given, 0)) == 10
    (folder / "more" / "3").mkdir(parents=True)
    write_sound(folder / "more" / "3" / "a.wav", make_tones("3", line="desk", seed=0), 8_000)
    data = FolderData(train=str(folder / "all"), test=str(folder / "more"), rate=8_000)
    with pytest.raises(
        DataError, match=re.escape("3/a.wav must have a label of the training split")
    ):
        load_sounds(data, 0)


def test_a_row_that_names_no_sound_is_refused_with_its_line(folder):
    (folder / "bad.csv").write_text("path,label\nall/1/0.wav,1\nall/1/none.wav,1\n")
    data = TableData(train=str(folder / "bad.csv"), rate=8_000)
    want = "none.wav must be a WAV or FLAC file, got no such file"
    with pytest.raises(DataError, match=re.escape("bad.csv:3: ") + ".*" + re.escape(want)):
        load_sounds(data, 0)
    with pytest.raises(DataError, match=re.escape("bad.csv:1 must have one column 'speaker', got")):
        load_sounds(data.model_copy(update={"speaker": "speaker"}), 0)


@pytest.mark.parametrize(
    "settings, want",
    [
        (
            {"lines": ("desk", "moon")},
            "data.lines must be some of desk, mobile, booth, abroad, got",
        ),
        ({"lines": ()}, "got 'none'"),
        ({"fewest": 3, "most": 2}, "data.fewest must be at most data.most, got 3 and 2"),
        ({"examples": 900}, "must leave tones to learn from, got 300 and 600 of 900"),
    ],
)
def test_tones_that_cannot_be_are_refused(settings, want):
    data = NumbersData(**settings)
    assert want in (problem_of(data) or "")
    with pytest.raises(ConfigError, match=re.escape(want)):
        load_sounds(data, 0)


def test_files_have_no_problem_before_they_are_read():
    assert problem_of(FolderData(train="x")) is None
    assert problem_of(TonesData()) is None
    assert TonesData().lengths == (1, 1)
