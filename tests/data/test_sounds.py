"""Sounds from WAV and FLAC files, and the references that stand for them."""

import os
import re
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest

from heedful.data.hashes import hash_array
from heedful.data.sounds import (
    SoundReader,
    SoundReference,
    list_folder,
    read_sound,
    resample,
    write_sound,
)
from heedful.data.tones import make_tones
from heedful.errors import DataError, MissingExtraError

soundfile = pytest.importorskip("soundfile", reason="the extra sound is not installed")
RATE = 8_000


def wave(seconds=0.1, hertz=440.0, rate=RATE):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32) / 2


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_what_is_written_is_read(tmp_path, name):
    write_sound(tmp_path / name, wave(), RATE)
    samples, rate = read_sound(tmp_path / name)
    assert (rate, samples.dtype, samples.shape) == (RATE, np.float32, (800,))
    np.testing.assert_allclose(samples, wave(), atol=1 / 2**15)


def test_a_wav_file_of_sixteen_bits_is_read_as_its_bytes_say(tmp_path):
    values = [0, 16384, -32768, 32767]
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
    body += b"data" + struct.pack("<I4h", 8, *values)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    samples, _ = read_sound(tmp_path / "a.wav")
    assert samples.tolist() == [8192 / 32768, -0.5 / 32768]  # two channels, their mean


def test_references_lead_to_the_same_samples(tmp_path):
    write_sound(tmp_path / "a.wav", wave(), RATE)
    reader = SoundReader(rate=RATE)
    first = reader.refer(tmp_path / "a.wav", label="hum", speaker="me")
    second = reader.refer("tones:5:desk:3")
    samples = read_sound(tmp_path / "a.wav")[0]
    assert first == SoundReference(str(tmp_path / "a.wav"), "hum", hash_array(samples), "me")
    assert second.file == "tones:5:desk:3"
    loaded = reader.load([second, first])
    assert np.array_equal(loaded[0], make_tones("5", line="desk", seed=3))
    assert np.array_equal(loaded[1], samples)


def test_other_samples_than_those_held_out_are_refused(tmp_path):
    write_sound(tmp_path / "a.wav", wave(), RATE)
    reader = SoundReader(rate=RATE)
    held = reader.refer(tmp_path / "a.wav")
    write_sound(tmp_path / "a.wav", wave(hertz=441), RATE)
    want = "a.wav must be the sound that was held out, got other samples"
    with pytest.raises(DataError, match=re.escape(want)):
        reader.load([held])
    with pytest.raises(DataError, match=re.escape(want)):
        reader.load([replace(held, hash="")])


def test_other_rates_are_refused_unless_asked_for(tmp_path):
    write_sound(tmp_path / "a.wav", wave(rate=16_000), 16_000)
    want = (
        "a.wav must have 8,000 samples a second, as data.rate says, got 16,000. "
        "Set data.resample = true to change all to data.rate."
    )
    with pytest.raises(DataError, match=re.escape(want)):
        SoundReader(rate=RATE).read(str(tmp_path / "a.wav"))
    samples = SoundReader(rate=RATE, resample=True).read(str(tmp_path / "a.wav"))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples[50:-50], wave()[50:-50], atol=5e-3)


def test_resampling_keeps_a_low_tone_and_drops_a_high_one():
    low, high = (resample(wave(0.5, hertz, 44_100), 44_100, RATE) for hertz in (300, 7_000))
    np.testing.assert_allclose(low[100:-100], wave(0.5, 300)[100:-100], atol=5e-3)
    assert np.abs(high[100:-100]).max() < 0.02


def test_of_a_long_sound_the_beginning_is_read_or_nothing(tmp_path):
    write_sound(tmp_path / "a.wav", wave(0.5), RATE)
    samples = SoundReader(rate=RATE, longest=0.2).read(str(tmp_path / "a.wav"))
    np.testing.assert_allclose(samples, wave(0.2), atol=1 / 2**15)
    want = "a.wav must last at most 0.2 seconds, as data.longest says, got 0.5"
    with pytest.raises(DataError, match=re.escape(want)):
        SoundReader(rate=RATE, longest=0.2, cut=False).read(str(tmp_path / "a.wav"))


def test_a_torn_file_is_no_short_one(tmp_path):
    for name in ("a.wav", "a.flac"):
        write_sound(tmp_path / name, make_tones("12345", line="desk", seed=0), RATE)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    size = len((tmp_path / "a.wav").read_bytes())
    with pytest.raises(DataError, match=rf"a\.wav must have [0-9,]+ bytes, got {size:,}: it is to"):
        read_sound(tmp_path / "a.wav")
    with pytest.raises(
        DataError, match=r"a\.flac must (be a WAV or FLAC file|hold [0-9]+ samples)"
    ):
        read_sound(tmp_path / "a.flac")


def test_a_file_that_grew_in_a_pipe_says_no_size_and_is_read(tmp_path):
    write_sound(tmp_path / "a.wav", wave(), RATE)
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    whole[4:8] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(whole)
    assert len(read_sound(tmp_path / "a.wav")[0]) == 800


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "a.wav": "a.wav must be a WAV or FLAC file, got: Format not recognised.",
        "none.wav": "none.wav must be a WAV or FLAC file, got no such file",
        "pipe": "pipe must be a WAV or FLAC file, got no ordinary file",
        "a\0b": "must be a WAV or FLAC file, got: embedded null byte",
    }
    for name, want in cases.items():
        with pytest.raises(DataError, match=re.escape(want)):
            read_sound(tmp_path / name)


def test_a_sound_without_samples_or_with_what_is_no_number_is_refused(tmp_path):
    write_sound(tmp_path / "a.wav", [], RATE)
    with pytest.raises(DataError, match=re.escape("a.wav must hold some samples, got 0")):
        read_sound(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.array([0, np.nan], np.float32), RATE, subtype="FLOAT")
    with pytest.raises(DataError, match=r"b\.wav must hold numbers, got a sample that is none"):
        read_sound(tmp_path / "b.wav")


def test_a_sound_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.txt must be a WAV or FLAC file to write, got: No for"):
        write_sound(tmp_path / "a.txt", wave(), RATE)


def test_a_folder_for_each_label_is_listed(tmp_path):
    for name in ("cat/b.wav", "ape/a.FLAC", "cat/notes.txt", ".cache/a.wav", "cat/.b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_folder(tmp_path) == [
        (str(tmp_path / "ape" / "a.FLAC"), "ape"),
        (str(tmp_path / "cat" / "b.wav"), "cat"),
    ]
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match=r"dog must have \.wav, \.flac files in it, got none"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("cat/c.mp3", "c.mp3 must be a WAV or FLAC file, got one of another kind"),
        ("c.mp3", "c.mp3 must lie in a folder that is its label, got it beside them"),
        ("c.WAV", "c.WAV must lie in a folder that is its label, got it beside them"),
    ],
)
def test_no_sound_is_passed_over(tmp_path, name, message):
    for each in ("cat/b.wav", "notes.txt", ".c.wav", name):
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).touch()
    with pytest.raises(DataError, match=re.escape(message)):
        list_folder(tmp_path)


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be a folder with a folder for each label, got none"):
        list_folder(tmp_path / "none")
    with pytest.raises(DataError, match=r"must have a folder for each label with .* got none"):
        list_folder(tmp_path)


def test_the_extra_that_is_missing_is_named(monkeypatch, tmp_path):
    write_sound(tmp_path / "a.wav", wave(), RATE)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(MissingExtraError, match=r"changing the rate of sounds needs .* scipy, got"):
        SoundReader(rate=16_000, resample=True).read(str(tmp_path / "a.wav"))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    want = "needs the package soundfile, got none. Run: pip install 'heedful[sound]'"
    with pytest.raises(MissingExtraError, match=re.escape(want)):
        read_sound(tmp_path / "a.wav")
