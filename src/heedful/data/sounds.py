"""Sounds by reference: WAV and FLAC files, and tones of a telephone keypad that are made.

Examples only name a sound: `SoundReference` says where its samples are and what their hash is, and
`SoundReader.load` reads them again.
"""

import math
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heedful.data.hashes import hash_array
from heedful.data.label_folders import list_label_folders
from heedful.data.tones import TONES, Samples, make_tones, parse_tones
from heedful.errors import DataError, MissingExtraError

SUFFIXES = (".wav", ".flac")
OTHERS = (".aac", ".aif", ".aiff", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wma")  # not read
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what whoever writes into a pipe says of how much follows


@dataclass(frozen=True, slots=True)
class SoundReference:
    """Where a sound is, and what is heard in it.

    Args:
        file: An absolute path, or the name of tones that are made: `tones:5:desk:7`.
        label: A label, or all that is said. Empty where nobody knows it.
        hash: Of its samples, as they were when it became part of a split.
        speaker: Who or what is heard. Empty where nobody knows it.
    """

    file: str
    label: str = ""
    hash: str = ""
    speaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundReader:
    """How sounds are read: as one channel, the mean of all there are.

    Args:
        rate: Samples a second.
        resample: Change other rates to this one? Else they are refused.
        longest: Seconds that are read of a sound.
        cut: Read the beginning of a longer one? Else it is refused.
    """

    rate: int = 16_000
    resample: bool = False
    longest: float = 30.0
    cut: bool = True

    def refer(self, file: Path | str, *, label: str = "", speaker: str = "") -> SoundReference:
        """Return a reference to a file or to tones, once they are read.

        Args:
            file: Where it is.
            label: What is heard.
            speaker: Who is heard.

        Raises:
            DataError: The file is missing or damaged, or has another rate.
            MissingExtraError: The extra `sound` is not installed.
        """
        name = str(file) if str(file).startswith(TONES) else os.path.abspath(file)
        return SoundReference(name, label, hash_array(self.read(name)), speaker)

    def load(self, references: Iterable[SoundReference]) -> list[Samples]:
        """Read the sounds again to which the references point.

        Raises:
            DataError: A file is missing or damaged, or holds other samples than it did.
            MissingExtraError: The extra `sound` is not installed.
        """
        sounds: list[Samples] = []
        for reference in references:
            samples = self.read(reference.file)
            if hash_array(samples) != reference.hash:
                raise DataError(
                    f"{reference.file} must be the sound that was held out, got other samples"
                )
            sounds.append(samples)
        return sounds

    def read(self, file: str) -> Samples:
        """Read or make one sound.

        Raises:
            DataError: The file is missing or damaged, or has another rate.
            MissingExtraError: The extra `sound` is not installed.
        """
        if file.startswith(TONES):
            keys, line, seed = parse_tones(file)
            return make_tones(keys, line=line, seed=seed, rate=self.rate)
        samples, rate = read_sound(file, seconds=self.longest, cut=self.cut)
        if rate != self.rate and not self.resample:
            raise DataError(
                f"{file} must have {self.rate:,} samples a second, as data.rate says, got "
                f"{rate:,}. Set data.resample = true to change all to data.rate."
            )
        return samples if rate == self.rate else resample(samples, rate, self.rate)


def list_folder(folder: Path | str) -> list[tuple[str, str]]:
    """Return the WAV and FLAC files of a folder that has a folder for each label, and the labels.

    Raises:
        DataError: It is none, a label has no such file, there is no label, or there is a sound
            that is in no label's folder or of another kind.
    """
    return list_label_folders(folder, suffixes=SUFFIXES, others=OTHERS, kind="a WAV or FLAC file")


def read_sound(
    path: Path | str, *, seconds: float = math.inf, cut: bool = True
) -> tuple[Samples, int]:
    """Read a WAV or FLAC file as the mean of its channels.

    Args:
        path: Of the file.
        seconds: Most that is read.
        cut: Read the beginning of a longer one? Else it is refused.

    Returns:
        Its samples, and how many there are a second.

    Raises:
        DataError: The file is missing, damaged or empty, holds what is no number, or is too long.
        MissingExtraError: The extra `sound` is not installed.
    """
    soundfile = _soundfile()
    _check_whole(path)
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            rate, whole = int(file.samplerate), int(file.frames)
            wanted = min(whole, max(1, int(min(seconds, whole) * rate)))
            channels: Any = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        said = getattr(error, "error_string", None) or str(error).rpartition(": ")[2]
        raise DataError(f"{path} must be a WAV or FLAC file, got: {said}") from None
    if wanted < whole and not cut:
        raise DataError(
            f"{path} must last at most {seconds:g} seconds, as data.longest says, "
            f"got {whole / rate:.1f}"
        )
    if not wanted or len(channels) < wanted:
        raise DataError(f"{path} must hold {wanted or 'some'} samples, got {len(channels)}")
    if not np.isfinite(channels).all():
        raise DataError(f"{path} must hold numbers, got a sample that is none")
    return channels.mean(1), rate


def seconds_of(path: Path | str) -> float:
    """Return how long a WAV or FLAC file lasts that was read before."""
    with _soundfile().SoundFile(os.fspath(path)) as file:
        return file.frames / file.samplerate


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Return a sound at another rate, by a low-pass filter of phases.

    Raises:
        MissingExtraError: The extra `sound` is not installed.
    """
    try:
        from scipy.signal import resample_poly  # pyright: ignore  # an extra
    except ImportError:
        raise MissingExtraError(_missing("changing the rate of sounds", "scipy")) from None
    shared = math.gcd(rate, wanted)
    changed: Any = resample_poly(samples.astype(np.float64), wanted // shared, rate // shared)
    return changed.astype(np.float32)


def write_sound(path: Path | str, samples: Samples | Sequence[float], rate: int) -> None:
    """Write a WAV or FLAC file of 16 bits.

    Raises:
        DataError: The file cannot be written.
        MissingExtraError: The extra `sound` is not installed.
    """
    soundfile = _soundfile()
    try:
        soundfile.write(os.fspath(path), np.asarray(samples, np.float32), rate, subtype="PCM_16")
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        raise DataError(f"{path} must be a WAV or FLAC file to write, got: {error}") from None


def _check_whole(path: Path | str) -> None:
    """Refuse what is no file, and a WAV file that says that it is longer than it is.

    Readers of WAV files take a torn one for a short one.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise DataError(f"{path} must be a WAV or FLAC file, got no ordinary file")
    try:
        with open(path, "rb") as file:
            head, size = file.read(12), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise DataError(f"{path} must be a WAV or FLAC file, got no such file") from None
    except (OSError, ValueError) as error:  # no file can have such a name
        said = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)!r:.200} must be a WAV or FLAC file, got: {said}") from None
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        (follows,) = struct.unpack("<I", head[4:8])
        if follows not in UNKNOWN_SIZES and follows + 8 > size:
            raise DataError(f"{path} must have {follows + 8:,} bytes, got {size:,}: it is torn")


def _soundfile() -> Any:
    try:
        import soundfile  # pyright: ignore  # an extra
    except (ImportError, OSError):  # the second: the library that it wraps is not there
        raise MissingExtraError(_missing("reading WAV and FLAC files", "soundfile")) from None
    return soundfile


def _missing(what: str, package: str) -> str:
    return f"{what} needs the package {package}, got none. Run: pip install 'heedful[sound]'"
