"""Loud segments are found and named; the shift is another line."""

import numpy as np
import pytest

from heedful.bench.entries.recognise_speech import ENTRY, segments, segments_of
from heedful.data.examples import Splits
from heedful.data.sounds import SoundReader
from heedful.tasks.catalog import parse_config
from heedful.tasks.recognise_speech.task import RecogniseSpeech

pytest.importorskip("sklearn", reason="the extra images is not installed")


def test_segments_are_loud_stretches():
    features = np.zeros((60, 4), np.float32)
    for start, end in ((5, 15), (18, 25), (40, 43), (50, 60)):
        features[start:end] = 1
    found = segments_of(features, 0.5)  # the second pause is too short, the third stretch too
    assert [len(each) for each in found] == [20, 10]
    assert segments_of(np.ones((9, 4), np.float32), 0.5) == []


@pytest.fixture
def splits(monkeypatch):
    """Numbers of clear keys, whose tones a test hears as well."""
    from heedful.data import tones

    clear = tones.Line(noise=(30, 40), twist=0, drift=0, cutoff=3_800, echo=0)
    monkeypatch.setitem(tones.LINES, "clear", clear)
    monkeypatch.setattr(tones, "_pause", lambda draw, line, rate: np.zeros(800))
    reader = SoundReader(rate=8_000)
    texts = ["".join("19"[int(bit)] for bit in f"{n:03b}") for n in range(8)] * 3
    made = [
        reader.refer(f"tones:{text}:clear:{seed}", label=text) for seed, text in enumerate(texts)
    ]
    return Splits(train=made[:12], dev=made[12:16], test=made[16:])


def test_baselines_write_nothing_or_what_they_hear(splits):
    task = RecogniseSpeech.fit(parse_config({"task": "recognise-speech"}), splits.train)
    nothing, heard = (
        [each.text for each in answers(task, splits)] for answers in ENTRY.baselines.values()
    )
    assert set(nothing) == {""}
    right = np.mean([a == e.label for a, e in zip(heard, splits.test, strict=True)])
    assert right > 0.8
    alike = Splits(
        *(
            [each for each in part if each.label == "111"]
            for part in (splits.train, splits.train, splits.test)
        )
    )
    assert {each.text for each in segments(task, alike)} == {""}  # one key is no choice


def test_the_shift_is_a_line_that_no_training_hears():
    name, make = ENTRY.shift
    examples = make(parse_config({"task": "recognise-speech"}))
    assert (name, len(examples)) == ("another line", 300)
    assert {each.speaker for each in examples} == {"abroad"}
    assert {len(each.label) for each in examples} == {3, 4, 5, 6, 7}
