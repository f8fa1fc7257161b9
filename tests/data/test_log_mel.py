"""Log-mel features against loops in float64, and against those of transformers."""

import math
import re

import numpy as np
import pytest

from heedful.data.log_mel import LogMel, mel_filters
from heedful.errors import ConfigError


def by_loops(sound, *, rate, bands, window, hop, size, lowest):
    """Every frame, frequency and band on its own; the transform by its definition."""

    def mel(hertz):
        return 2595 * math.log10(1 + hertz / 700)

    def hertz(mels):
        return 700 * (10 ** (mels / 2595) - 1)

    low, high = mel(lowest), mel(rate / 2)
    corners = [hertz(low + (high - low) * i / (bands + 1)) for i in range(bands + 2)]
    rows = []
    for start in range(0, len(sound) + 1, hop):
        energies = [0.0] * bands
        for k in range(size // 2 + 1):
            value = 0j
            for i in range(window):
                at = start - window // 2 + i
                if 0 <= at < len(sound):
                    hann = 0.5 - 0.5 * math.cos(2 * math.pi * i / window)
                    turn = complex(math.cos(2 * math.pi * k * i / size), 0)
                    turn -= 1j * math.sin(2 * math.pi * k * i / size)
                    value += float(sound[at]) * hann * turn
            here = k * rate / size
            for band in range(bands):
                left, middle, right = corners[band : band + 3]
                rise = (here - left) / (middle - left)
                fall = (right - here) / (right - middle)
                energies[band] += max(0.0, min(rise, fall)) * abs(value) ** 2
        rows.append([math.log(energy + 1e-6) for energy in energies])
    return np.array(rows)


@pytest.mark.parametrize("length", [1, 79, 80, 403])
def test_features_are_those_of_loops(length):
    sound = np.random.default_rng(length).uniform(-1, 1, length).astype(np.float32)
    mel = LogMel(rate=4_000, bands=6, window=0.015, hop=0.02)
    want = by_loops(sound, rate=4_000, bands=6, window=60, hop=80, size=64, lowest=20)
    assert mel(sound).shape == want.shape == (mel.frames(length), 6)
    np.testing.assert_allclose(mel(sound), want, atol=2e-5)


def test_features_are_those_of_transformers():
    audio_utils = pytest.importorskip("transformers.audio_utils", reason="transformers is missing")
    mel = LogMel(rate=16_000, bands=64)
    filters = audio_utils.mel_filter_bank(257, 64, 20, 8_000, 16_000, norm=None, mel_scale="htk")
    np.testing.assert_allclose(mel_filters(16_000, size=512, bands=64, lowest=20), filters)
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000)
    want = audio_utils.spectrogram(
        np.concatenate([np.zeros(200), sound, np.zeros(400)]),
        audio_utils.window_function(400, "hann"),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        mel_filters=filters,
        log_mel="log",
        mel_floor=1e-6,
    ).T
    np.testing.assert_allclose(mel(sound.astype(np.float32)), want[:101], atol=2e-2)


def test_a_tone_is_loudest_in_the_band_around_it():
    mel = LogMel(rate=8_000)
    for band in (3, 20, 36):
        hertz = np.arange(129)[mel.filters[:, band].argmax()] * 8_000 / 256
        tone = np.sin(2 * np.pi * hertz * np.arange(8_000) / 8_000).astype(np.float32)
        assert (mel(tone)[5:-5].argmax(1) == band).all()


def test_twice_as_loud_adds_the_same_to_every_band():
    sound = np.random.default_rng(0).uniform(-1, 1, 4_000).astype(np.float32)
    mel = LogMel(rate=8_000)
    np.testing.assert_allclose(mel(sound) - mel(sound / 2), math.log(4), atol=1e-3)


@pytest.mark.parametrize(
    "settings, want",
    [
        ({"bands": 128}, "bands must be so few that each has a frequency, got 128 bands of 129"),
        (
            {"window": 1e-5},
            "a frame must have a sample and a step to the next one, got window=1e-05",
        ),
        ({"hop": 1e-5}, "a step to the next one, got window=0.025, hop=1e-05 at 8,000 samples"),
    ],
)
def test_frames_that_cannot_be_are_refused(settings, want):
    with pytest.raises(ConfigError, match=re.escape(want)):
        LogMel(rate=8_000, **settings)
