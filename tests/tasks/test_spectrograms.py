"""Features of sounds as a data set: padded, leveled, and changed while training."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.sounds import SoundReader
from heedful.tasks.columns import Columns
from heedful.tasks.spectrograms import (
    Sound,
    Spectrograms,
    augmented,
    bands_problem,
    features_of,
    leveled,
    log_mel_of,
    spans,
)

STILL = Sound(masks=0, stretch=0, warp=0)


def drawn(frames, bands=6, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, bands)).astype(np.float32)


def data(sound=None):
    features = [drawn(5), drawn(11, seed=1), drawn(3, seed=2)]
    return Spectrograms(features, Columns(label=np.array([4, 0, 2])), sound=sound)


def test_batches_are_padded_with_zeros_and_have_the_other_columns():
    found = data()
    batch = found.batch([2, 1], "cpu")
    assert batch["features"].shape == (2, 16, 6)
    assert np.array_equal(batch["features"][0, :3], found.features[2])
    assert np.array_equal(batch["features"][1, :11], found.features[1])
    assert not batch["features"][0, 3:].any()
    assert batch["features_lengths"].tolist() == [3, 11]
    assert batch["label"].tolist() == [2, 0]
    assert (len(found), found.sizes.tolist(), found.amounts.tolist()) == (
        3,
        [[8], [16], [8]],
        [1, 1, 1],
    )


def test_a_fingerprint_changes_with_features_and_labels():
    first, again = data(), data()
    assert first.fingerprint() == again.fingerprint()
    first.features[0][0, 0] += 1
    other = Spectrograms(again.features, Columns(label=np.array([4, 0, 3])))
    assert len({tuple(each.fingerprint()) for each in (first, again, other)}) == 3


def test_only_training_with_random_numbers_changes_features():
    found, still = data(Sound()), data()
    draw = np.random.default_rng
    changed = [found.batch([0, 1], "cpu", random=draw(seed))["features"] for seed in (1, 1, 2)]
    assert np.array_equal(changed[0], changed[1])
    assert changed[0].shape != changed[2].shape or not np.array_equal(changed[0], changed[2])
    same = [found.batch([0, 1], "cpu"), still.batch([0, 1], "cpu", random=draw(1))]
    assert np.array_equal(same[0]["features"], same[1]["features"])


@given(frames=st.integers(1, 30), seed=st.integers(0, 999), share=st.floats(0, 0.9))
def test_changed_features_stay_in_their_range_and_nearly_as_long(frames, seed, share):
    features = drawn(frames, seed=seed)
    sound = Sound(masks=2, mask_time=share, mask_bands=share, stretch=share, warp=share)
    changed = augmented(features, sound, np.random.default_rng(seed))
    assert changed.dtype == np.float32
    assert changed.shape[1] == 6
    assert max(1, frames * (1 - share) - 1) <= len(changed) <= frames * (1 + share) + 1
    assert features.min() <= max(changed.max(), 0)
    assert changed.max() <= max(features.max(), 0) + 1e-6
    assert changed.min() >= min(features.min(), 0) - 1e-6


def test_nothing_asked_for_is_nothing_changed():
    features = drawn(9)
    assert np.array_equal(augmented(features, STILL, np.random.default_rng(0)), features)


def test_masks_blank_whole_frames_and_whole_bands():
    ones = np.ones((40, 20), np.float32)
    sound = Sound(masks=1, mask_time=0.5, mask_bands=0.5, stretch=0, warp=0)
    found = [augmented(ones, sound, np.random.default_rng(seed)) for seed in range(40)]
    for each in found:
        blank = each == 0
        frames, bands = blank.all(1), blank.all(0)
        assert np.array_equal(blank, frames[:, None] | bands)
        assert frames.sum() <= 20
        assert bands.sum() <= 10
    assert max((each == 0).all(1).sum() for each in found) > 15


def test_bands_move_by_shares_of_all():
    ramp = np.tile(np.arange(10, dtype=np.float32), (3, 1))
    sound = Sound(masks=0, stretch=0, warp=0.3)
    moved = [augmented(ramp, sound, np.random.default_rng(s))[0, 5] - 5 for s in range(200)]
    assert -3 <= min(moved) < -2.5
    assert 2.5 < max(moved) <= 3


def test_features_are_leveled_as_a_whole_or_band_by_band():
    features = drawn(50) + 9 * np.arange(6, dtype=np.float32)
    whole, bands = leveled(features, "sound"), leveled(features, "bands")
    assert whole.mean() == pytest.approx(0, abs=1e-5)
    assert whole.std() == pytest.approx(1, abs=1e-4)
    assert np.diff(whole.mean(0)).min() > 0
    assert bands.mean(0) == pytest.approx(np.zeros(6), abs=1e-5)
    assert bands.std() == pytest.approx(1, abs=1e-4)
    assert not leveled(np.ones((4, 6), np.float32), "sound").any()


def test_features_of_references_are_leveled_log_mels():
    reader = SoundReader(rate=8_000)
    references = [reader.refer(f"tones:{key}") for key in "19"]
    found = features_of(references, reader, Sound(bands=20))
    for reference, features in zip(references, found, strict=True):
        want = log_mel_of(Sound(bands=20), 8_000)(reader.read(reference.file))
        assert np.array_equal(features, leveled(want, "sound"))


def test_too_many_bands_are_a_problem():
    assert bands_problem(Sound(), 8_000) is None
    want = "sound.bands must be so few that each has a frequency, got 250 bands"
    assert re.match(re.escape(want), bands_problem(Sound(bands=250), 8_000) or "")


def test_spans_have_the_weights_of_their_states():
    names, merged = spans(np.array([[1.0, 2, 3, 4, 5], [1, 1, 1, 1, 1]]), seconds=0.04, most=3)
    assert names == ("0.00", "0.08", "0.16")
    assert merged.tolist() == [[3, 7, 5], [2, 2, 1]]
    names, merged = spans(np.arange(4.0), seconds=0.5)
    assert (names, merged.tolist()) == (("0.00", "0.50", "1.00", "1.50"), [0, 1, 2, 3])
