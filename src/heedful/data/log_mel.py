"""Log-mel features: how loud each band of frequencies is, frame by frame."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.data.tones import Samples
from heedful.errors import ConfigError

Features = NDArray[np.float32]  # (frames, bands)
QUIET = 1e-6  # added to energies, so that silence has a logarithm


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """Turn samples into frames of bands.

    `log(|FFT(window * frame)|^2 filters + 10^-6)`, with triangular filters at equal distances on
    the mel scale `2595 log10(1 + hertz / 700)` and a Hann window. The sound is filled up with
    silence so that frame `i` has its middle at sample `i * hop`.

    Args:
        rate: Samples a second.
        bands: Filters, from `lowest` hertz to half the rate.
        window: Seconds of a frame.
        hop: Seconds from a frame to the next.
        lowest: Hertz where the first filter begins.

    Raises:
        ConfigError: There are more bands than frequencies to put into them, or a frame has no
            samples.

    Source:
        Davis and Mermelstein 1980, IEEE Transactions on Acoustics, Speech and Signal Processing 28
        (energies in bands of the mel scale; no cosine transform here).
    """

    rate: int
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010
    lowest: float = 20.0

    def __post_init__(self) -> None:
        if min(self.samples, self.step) < 1:
            raise ConfigError(
                "a frame must have a sample and a step to the next one, got "
                f"window={self.window}, hop={self.hop} at {self.rate:,} samples a second"
            )
        if not self.filters.any(0).all():
            raise ConfigError(
                f"bands must be so few that each has a frequency, got {self.bands} bands of "
                f"{self.size // 2 + 1} frequencies"
            )

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return round(self.window * self.rate)

    @property
    def step(self) -> int:
        """Samples from a frame to the next."""
        return round(self.hop * self.rate)

    @property
    def size(self) -> int:
        """Samples of a frame and the silence that it is filled up with, for a fast transform."""
        return 1 << max(self.samples - 1, 1).bit_length()

    @cached_property
    def filters(self) -> NDArray[np.float64]:
        """`(frequencies, bands)`."""
        return mel_filters(self.rate, size=self.size, bands=self.bands, lowest=self.lowest)

    def frames(self, samples: int) -> int:
        """Return how many frames so many samples have."""
        return samples // self.step + 1

    def __call__(self, sound: Samples) -> Features:
        """Return the features of a sound, `(frames, bands)`."""
        count, half = self.frames(len(sound)), self.samples // 2
        room = np.zeros((count - 1) * self.step + self.samples, np.float64)
        room[half : half + len(sound)] = sound[: len(room) - half]
        frames = np.lib.stride_tricks.sliding_window_view(room, self.samples)[:: self.step]
        spectrum = np.fft.rfft(frames * _hann(self.samples), self.size)
        energy = spectrum.real**2 + spectrum.imag**2
        return np.log(energy @ self.filters + QUIET).astype(np.float32)


def mel_filters(rate: int, *, size: int, bands: int, lowest: float) -> NDArray[np.float64]:
    """Return triangles on the mel scale, each of height 1, `(size / 2 + 1, bands)`."""
    ends = (_mel(lowest), _mel(rate / 2))
    corners = 700 * (10 ** (np.linspace(*ends, bands + 2) / 2595) - 1)
    hertz = np.arange(size // 2 + 1)[:, None] * rate / size
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling))


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


@lru_cache(maxsize=8)
def _hann(samples: int) -> NDArray[np.float64]:
    """Periodic, as spectra want it."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
