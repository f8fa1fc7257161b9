"""Tones of a telephone keypad, as bad lines carry them: made from a seed, never stored."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError

Samples = NDArray[np.float32]  # one channel, from -1 to 1

TONES = "tones:"  # begins the name of what is made, where a file has its path
ROWS = (697.0, 770.0, 852.0, 941.0)
COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
PAD = ("123A", "456B", "789C", "*0#D")
KEYS = {
    key: (ROWS[row], COLUMNS[column])
    for row, keys in enumerate(PAD)
    for column, key in enumerate(keys)
}
DIGITS = "0123456789"
SLOWEST = 4_000  # samples a second: twice the highest tone, and some more
LONGEST = 100  # keys of one sound


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a telephone line does to tones; pairs are the ends between which is drawn.

    Args:
        noise: Decibels by which tones are louder than noise.
        twist: Most decibels by which one of the two tones of a key is softer.
        drift: Largest share by which frequencies are wrong.
        cutoff: Hertz above which the line carries next to nothing.
        echo: Loudest share that comes back once more.
        length: Seconds of a tone.
    """

    noise: tuple[float, float]
    twist: float
    drift: float
    cutoff: float
    echo: float
    length: tuple[float, float] = (0.06, 0.14)


LINES = {
    "desk": Line(noise=(0, 12), twist=4, drift=0.010, cutoff=3_400, echo=0.0),
    "mobile": Line(noise=(-3, 9), twist=6, drift=0.012, cutoff=2_600, echo=0.1),
    "booth": Line(noise=(-4, 8), twist=6, drift=0.015, cutoff=3_000, echo=0.3),
    "abroad": Line(noise=(-6, 4), twist=8, drift=0.018, cutoff=2_000, echo=0.5),
}


def name_tones(keys: str, *, line: str, seed: int) -> str:
    """Return what stands for a sound where files have their path, e.g. `tones:5:desk:7`."""
    return f"{TONES}{keys}:{line}:{seed}"


def parse_tones(name: str) -> tuple[str, str, int]:
    """Take such a name apart into keys, line and seed; the last two may be left out.

    Raises:
        DataError: It is none, or names a key or a line that there is not.
    """
    keys, _, rest = name.removeprefix(TONES).partition(":")
    line, _, seed = rest.partition(":")
    line, seed = line or "desk", seed or "0"
    if not name.startswith(TONES) or not keys or any(key not in KEYS for key in keys):
        shown = "".join(KEYS)
        raise DataError(f"tones must look like tones:5:desk:7, with keys of {shown}, got {name!r}")
    if len(keys) > LONGEST:
        raise DataError(f"tones must have at most {LONGEST} keys, got {len(keys):,}")
    if line not in LINES:
        raise DataError(f"the line of tones must be one of {', '.join(LINES)}, got {line!r:.60}")
    if not (seed.isascii() and seed.isdigit() and len(seed) < 19):
        raise DataError(f"the seed of tones must be a whole number below 10^18, got {seed!r:.60}")
    return keys, line, int(seed)


def make_tones(keys: str, *, line: str, seed: int, rate: int = 8_000) -> Samples:
    """Dial keys on a line.

    Each key is two tones at once, after a pause of a length of its own. Lone tones, each of one
    frequency of the keypad, sound in some of the pauses: they are no key, though two of them have
    the frequencies of one.

    Args:
        keys: Of `KEYS`, one after another.
        line: One of `LINES`.
        seed: Decides all that is drawn; with the other arguments the same sound each time.
        rate: Samples a second.

    Raises:
        DataError: `rate` is too small for the tones.

    Source:
        ITU-T Q.23 (frequencies).
    """
    if rate < SLOWEST:
        raise DataError(f"rate must be at least {SLOWEST:,} for tones, got {rate:,}")
    draw = np.random.default_rng([seed, zlib.crc32(f"{keys}:{line}".encode())])
    held = LINES[line]
    parts = [_pause(draw, held, rate)]
    for key in keys:
        tone = sum(_tone(draw, held, hertz, rate, tone=t) for t, hertz in _of_key(draw, held, key))
        parts += [np.asarray(tone), _pause(draw, held, rate)]
    sound = np.concatenate(parts)
    sound = _carried(draw, held, sound, rate)
    return (sound * (draw.uniform(0.2, 0.9) / np.abs(sound).max())).astype(np.float32)


Wave = NDArray[np.float64]


def _of_key(
    draw: np.random.Generator, line: Line, key: str
) -> list[tuple[tuple[float, float], float]]:
    """Loudness and seconds of both tones of a key, and their frequencies."""
    seconds = float(draw.uniform(*line.length))
    softer = float(10 ** (-draw.uniform(0, line.twist) / 20))
    loud = [1.0, softer] if draw.random() < 0.5 else [softer, 1.0]
    return [((each, seconds), hertz) for each, hertz in zip(loud, KEYS[key], strict=True)]


def _tone(
    draw: np.random.Generator, line: Line, hertz: float, rate: int, *, tone: tuple[float, float]
) -> Wave:
    loud, seconds = tone
    time = np.arange(int(seconds * rate)) / rate
    wrong = 1 + draw.uniform(-line.drift, line.drift)
    wave = loud * np.sin(2 * np.pi * hertz * wrong * time + draw.uniform(0, 2 * np.pi))
    fade = np.minimum(1, np.minimum(time, seconds - time) / 0.005)  # without it, edges click
    return wave * fade


def _pause(draw: np.random.Generator, line: Line, rate: int) -> Wave:
    """Silence, with a lone tone in it more often than not."""
    silence = np.zeros(int(draw.uniform(0.03, 0.10) * rate))
    if draw.random() < 0.4:
        return silence
    hertz = float(draw.choice(ROWS + COLUMNS))
    seconds = float(draw.uniform(*line.length))
    lone = _tone(draw, line, hertz, rate, tone=(float(draw.uniform(0.6, 1.2)), seconds))
    return np.concatenate([silence, lone, np.zeros(int(draw.uniform(0.03, 0.06) * rate))])


def _carried(draw: np.random.Generator, line: Line, sound: Wave, rate: int) -> Wave:
    """What arrives of a sound: with an echo, noise, and without what is too high."""
    late = int(draw.uniform(0.04, 0.12) * rate)
    sound = sound.copy()
    if late < len(sound):
        sound[late:] += draw.uniform(0, line.echo) * sound[: len(sound) - late].copy()
    loud = 10 ** (-draw.uniform(*line.noise) / 20) / np.sqrt(2)  # a tone's root mean square
    sound = sound + loud * draw.standard_normal(len(sound))
    hertz = np.fft.rfftfreq(len(sound), 1 / rate)
    passed = 1 / np.sqrt(1 + (hertz / line.cutoff) ** 8)
    return np.fft.irfft(np.fft.rfft(sound) * passed, len(sound))
