"""Tones of a keypad: two frequencies at once for each key, the same for the same seed."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.tones import (
    COLUMNS,
    KEYS,
    LINES,
    LONGEST,
    ROWS,
    Line,
    make_tones,
    name_tones,
    parse_tones,
)
from heedful.errors import DataError

RATE = 8_000
CLEAR = Line(noise=(60, 60), twist=0, drift=0, cutoff=3_900, echo=0)


def loudest(sound, choices, start=0, end=None):
    """Which of these frequencies is loudest: by projection, without a Fourier transform."""
    part = sound[start:end].astype(float)
    time = np.arange(len(part)) / RATE
    return max(choices, key=lambda hertz: abs(part @ np.exp(2j * np.pi * hertz * time)))


def test_the_keypad_is_that_of_telephones():
    assert len(KEYS) == 16
    assert KEYS["1"] == (697, 1209)
    assert KEYS["0"] == (941, 1336)
    assert KEYS["#"] == (941, 1477)
    assert KEYS["A"] == (697, 1633)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_sounds_as_its_two_frequencies(key, monkeypatch):
    monkeypatch.setitem(LINES, "clear", CLEAR)
    monkeypatch.setattr("heedful.data.tones._pause", lambda draw, line, rate: np.zeros(400))
    sound = make_tones(key, line="clear", seed=3)
    assert (loudest(sound, ROWS), loudest(sound, COLUMNS)) == KEYS[key]
    assert np.abs(sound[:300]).max() < 0.05 < np.abs(sound[500:800]).max()


@given(
    keys=st.text("".join(KEYS), min_size=1, max_size=8),
    line=st.sampled_from(sorted(LINES)),
    seed=st.integers(0, 10**18 - 1),
)
def test_names_come_back_and_sounds_are_the_same_each_time(keys, line, seed):
    name = name_tones(keys, line=line, seed=seed)
    assert parse_tones(name) == (keys, line, seed)
    sound = make_tones(keys, line=line, seed=seed)
    assert sound.dtype == np.float32
    assert np.array_equal(sound, make_tones(keys, line=line, seed=seed))
    assert 0.19 < np.abs(sound).max() < 0.91
    assert len(sound) > 0.09 * len(keys) * RATE


def test_seed_line_and_keys_each_make_another_sound():
    made = [
        make_tones(keys, line=line, seed=seed).tobytes()
        for keys in ("1", "2")
        for line in ("desk", "abroad")
        for seed in (0, 1)
    ]
    assert len(set(made)) == 8


def test_a_short_name_has_a_line_and_a_seed():
    assert parse_tones("tones:59#") == ("59#", "desk", 0)
    assert parse_tones("tones:5:booth") == ("5", "booth", 0)


@pytest.mark.parametrize(
    "name, want",
    [
        ("5", "tones must look like tones:5:desk:7, with keys of 123A456B789C*0#D, got '5'"),
        ("tones:", "tones must look like tones:5:desk:7"),
        ("tones:5x:desk:1", "tones must look like tones:5:desk:7"),
        ("tones:" + "5" * (LONGEST + 1), "tones must have at most 100 keys, got 101"),
        ("tones:5:moon:1", "the line of tones must be one of desk, mobile, booth, abroad, got 'mo"),
        ("tones:5:desk:-1", "the seed of tones must be a whole number below 10^18, got '-1'"),
        ("tones:5:desk:²", "the seed of tones must be a whole number below 10^18, got '²'"),
        ("tones:5:desk:1:2", "the seed of tones must be a whole number below 10^18, got '1:2'"),
    ],
)
def test_other_names_are_refused(name, want):
    with pytest.raises(DataError, match=re.escape(want)):
        parse_tones(name)


def test_too_few_samples_for_the_tones_are_refused():
    with pytest.raises(DataError, match=re.escape("rate must be at least 4,000 for tones, got 3")):
        make_tones("1", line="desk", seed=0, rate=3_000)
