"""A data set of sounds: their log-mel features, padded, and augmented while training."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from heedful.config.base import Fraction, Section
from heedful.data.blank import is_blank
from heedful.data.load_sounds import load_training, reader_of
from heedful.data.log_mel import Features, LogMel
from heedful.data.ragged import Ints
from heedful.data.sounds import SoundReader, SoundReference
from heedful.errors import ConfigError, DataError
from heedful.tasks.columns import Columns

if TYPE_CHECKING:
    import torch
    from torch import Tensor

HOP = 0.010  # seconds from a frame to the next
MULTIPLE = 8  # frames are padded to a multiple of this, so that batches have few shapes
Level = Literal["sound", "bands"]


class Sound(Section):
    """How sounds become features, and how those are changed while training."""

    bands: Annotated[int, Field(ge=4, le=256)] = 40  # on the mel scale
    level: Level = "sound"  # what is taken off: the mean of the sound, or of each of its bands
    masks: Annotated[int, Field(ge=0, le=20)] = 1  # spans of time, and of bands, that are blanked
    mask_time: Fraction = 0.2  # the longest span, as a share of the sound
    mask_bands: Fraction = 0.2  # the widest, as a share of the bands
    stretch: Fraction = 0.1  # a sound may be so much shorter or longer
    warp: Fraction = 0.0  # its bands so much higher or lower, as a share of all: 0.05 for voices


def log_mel_of(sound: Sound, rate: int) -> LogMel:
    """Return what makes features.

    Raises:
        ConfigError: There are more bands than frequencies to put into them.
    """
    return LogMel(rate=rate, bands=sound.bands, hop=HOP)


def bands_problem(sound: Sound, rate: int) -> str | None:
    """Say that there are too many bands, or `None`."""
    try:
        log_mel_of(sound, rate)
    except ConfigError as error:
        return f"sound.{error}"
    return None


@dataclass(frozen=True)
class Spectrograms:
    """Features of sounds with other columns beside them, ready for batches.

    A batch is a dictionary of tensors: `features`, `(batch, frames, bands)`, padded with zeros,
    `features_lengths`, and the other columns as `Columns` has them.

    Args:
        features: Of each sound, as `leveled` returns them.
        columns: What else is known of each sound.
        sound: How training changes features; `None` means not at all.

    Source:
        Park et al. 2019, arXiv:1904.08779, section 2 (masks of time and of frequency).
        Jaitly and Hinton 2013, "Vocal tract length perturbation improves speech recognition",
        ICML workshop on deep learning for audio, speech and language (frequencies moved; here on
        the mel scale).
    """

    features: Sequence[Features]
    columns: Columns
    sound: Sound | None = None
    lengths: Ints = field(init=False)

    def __post_init__(self) -> None:
        lengths = np.array([len(each) for each in self.features], np.int64)
        object.__setattr__(self, "lengths", lengths)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def sizes(self) -> Ints:
        """Frames, padding included."""
        return (-(-self.lengths // MULTIPLE) * MULTIPLE)[:, None]

    @property
    def amounts(self) -> Ints:
        """One each."""
        return np.ones(len(self), np.int64)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "dict[str, Tensor]":
        """Return these sounds; where `random` is given they are changed as `sound` says."""
        import torch

        chosen = [self.features[row] for row in rows]
        if random is not None and self.sound is not None:
            chosen = [augmented(each, self.sound, random) for each in chosen]
        lengths = np.array([len(each) for each in chosen], np.int64)
        room = -(-int(lengths.max(initial=1)) // MULTIPLE) * MULTIPLE
        padded = np.zeros((len(chosen), room, chosen[0].shape[1]), np.float32)
        for place, each in zip(padded, chosen, strict=True):
            place[: len(each)] = each
        arrays: dict[str, NDArray[Any]] = {"features": padded, "features_lengths": lengths}
        made = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        return made | self.columns.batch(rows, device)

    def fingerprint(self) -> list[int]:
        """Return a number for the features, and those of the other columns."""
        number = 0
        for each in self.features:
            number = zlib.crc32(np.ascontiguousarray(each).tobytes(), number)
        return [number, *self.columns.fingerprint()]


def leveled(features: Features, level: Level) -> Features:
    """Return features with a mean of 0 and a deviation of 1.

    Args:
        features: `(frames, bands)`.
        level: Is one mean taken off the whole sound, so that loudness is gone, or one off each
            band, so that what a line or a room does to all frames alike is gone too?
    """
    mean = features.mean() if level == "sound" else features.mean(0)
    centred = features - mean
    return (centred / max(float(centred.std()), 1e-3)).astype(np.float32)


def augmented(features: Features, sound: Sound, random: np.random.Generator) -> Features:
    """Return features that are stretched, moved to other bands and blanked in places.

    Args:
        features: `(frames, bands)`.
        sound: How much.
        random: Decides it.
    """
    frames, bands = features.shape
    longer = max(1, round(frames * (1 + random.uniform(-sound.stretch, sound.stretch))))
    moved = random.uniform(-sound.warp, sound.warp) * bands
    changed = _between(features, np.linspace(0, frames - 1, longer))
    changed = _between(changed.T, np.arange(bands) + moved).T.copy()
    for _ in range(sound.masks):
        _blank(changed, sound.mask_time, random)
        _blank(changed.T, sound.mask_bands, random)
    return changed


def _between(rows: Features, places: NDArray[np.float64]) -> Features:
    """What stands at places between rows; beyond the first and the last stand these."""
    places = places.clip(0, len(rows) - 1)
    low = np.minimum(places.astype(np.int64), max(len(rows) - 2, 0))
    share = (places - low)[:, None]
    high = np.minimum(low + 1, len(rows) - 1)
    return (rows[low] * (1 - share) + rows[high] * share).astype(np.float32)


def _blank(rows: Features, share: float, random: np.random.Generator) -> None:
    size = int(random.uniform(0, share) * len(rows))
    start = int(random.integers(len(rows) - size + 1))
    rows[start : start + size] = 0


def features_of(
    references: Sequence[SoundReference], reader: SoundReader, sound: Sound
) -> list[Features]:
    """Read sounds and make features of them, ready for a network.

    Args:
        references: To the sounds.
        reader: Of them.
        sound: How.

    Raises:
        DataError: A file is missing or damaged, or holds other samples than it did.
        MissingExtraError: The extra `sound` is not installed.
    """
    mel = log_mel_of(sound, reader.rate)
    return [leveled(mel(samples), sound.level) for samples in reader.load(references)]


def spans(
    weights: NDArray[np.float64], *, seconds: float, most: int = 48
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return names of spans of time for a picture, and the weights that fall into each.

    Args:
        weights: Of states, `(..., states)`.
        seconds: From a state to the next.
        most: Spans; where there are more states, neighbours are added up.
    """
    each = -(-weights.shape[-1] // most)
    starts = np.arange(0, weights.shape[-1], each)
    names = tuple(f"{start * seconds:.2f}" for start in starts.tolist())
    return names, np.add.reduceat(weights, starts, axis=-1)


class HearsSounds:
    """What tasks share whose examples are sounds; stands before `Task` among their classes.

    The config has sections `data` and `sound`, and `train.seconds_per_batch`.
    """

    config: Any
    example_class = SoundReference
    takes = ("sound",)
    unit = "sounds"

    @classmethod
    def read_training(cls, config: Any) -> list[SoundReference]:
        """Refer to the sounds of the training split alone."""
        return load_training(config.data, config.seed)

    @property
    def batch_limit(self) -> int:
        """Frames, padding included."""
        return max(1, round(self.config.train.seconds_per_batch / HOP))

    def parse(self, text: str) -> SoundReference:
        """Take the path of a WAV or FLAC file, or tones such as `tones:5:desk:7`."""
        if is_blank(text):
            raise DataError(f"a sound must be named by its path, got {text!r}")
        return reader_of(self.config.data).refer(text.strip())

    def identity(self, example: SoundReference) -> str:
        """Return the samples of a sound, wherever it is."""
        return example.hash

    def kind(self, example: SoundReference) -> str:
        """Return who speaks, for scores by speaker."""
        return example.speaker

    def features(self, examples: Sequence[SoundReference]) -> list[Features]:
        """Read sounds and make features of them."""
        return features_of(examples, reader_of(self.config.data), self.config.sound)
