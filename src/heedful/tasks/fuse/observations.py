"""Images, sounds and texts of one thing: read from tables or made, and made ready for batches."""

import json
import os
import zlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from heedful.data.blank import is_blank
from heedful.data.columns import read_columns
from heedful.data.examples import Splits, check_label
from heedful.data.hashes import hash_array
from heedful.data.images import Pixels, read_picture
from heedful.data.log_mel import Features
from heedful.data.sounds import SoundReader, SoundReference
from heedful.data.tones import TONES, name_tones, parse_tones
from heedful.errors import DataError
from heedful.tasks.fuse.config import MODALITIES, DigitsData, TableData, image_shape
from heedful.tasks.fuse.digits import DIGIT, WORDS, digit_labels, digit_pixels, misspell
from heedful.tasks.parts import SameSize
from heedful.tasks.spectrograms import Sound, Spectrograms, features_of, leveled, log_mel_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Data = DigitsData | TableData


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is known of one thing; empty is what is missing.

    Args:
        image: The absolute path of a PNG or JPEG file, or `digit:17:60`: the image of scikit-learn
            with that number, with noise of that many per cent.
        sound: The absolute path of a WAV or FLAC file, or tones such as `tones:5:desk:7`.
        text: Any.
        label: What it is.
        image_hash: Of the pixels of a file, as they were when it became an example.
        sound_hash: Of its samples.
    """

    image: str = ""
    sound: str = ""
    text: str = ""
    label: str = ""
    image_hash: str = ""
    sound_hash: str = ""


@dataclass(frozen=True)
class Observations(SameSize):
    """Examples ready for batches of so many each.

    Args:
        sounds: Features of their sounds, with the other columns beside them.
    """

    sounds: Spectrograms

    def __len__(self) -> int:
        return len(self.sounds)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> "dict[str, Tensor]":
        """Return these examples; where `random` is given their sounds are changed."""
        return self.sounds.batch(rows, device, random=random)

    def fingerprint(self) -> list[int]:
        """Return numbers of which one changes when anything does."""
        return self.sounds.fingerprint()


def make_digits(data: DigitsData, seed: int) -> Splits[Observation]:
    """Return digits, each with tones and a number word; no image is in two splits.

    Raises:
        DataError: Nothing is left to learn from.
        MissingExtraError: The extra `images` is not installed.
    """
    labels = digit_labels()
    order = np.random.default_rng(seed).permutation(len(labels))[: data.images].tolist()
    held = data.dev + data.test
    if held >= len(order):
        raise DataError(
            "data.dev and data.test must leave images to learn from, "
            f"got {data.dev} and {data.test} of {len(order):,}"
        )
    test, dev, train = order[: data.test], order[data.test : held], sorted(order[held:])
    parts = {"train": train * data.repeats, "dev": dev, "test": test}
    return Splits(
        **{
            part: [
                make_digit(data, row, labels[row], seed=zlib.crc32(f"{seed} {part} {n}".encode()))
                for n, row in enumerate(rows)
            ]
            for part, rows in parts.items()
        }
    )


def make_digit(data: DigitsData, row: int, label: str, *, seed: int) -> Observation:
    """Return one digit: an image with noise, tones on some line, a word with typos.

    Args:
        data: How much noise each has.
        row: Of the image.
        label: What it shows.
        seed: Of all that is drawn.
    """
    draw = np.random.default_rng(seed)
    line = data.lines[int(draw.integers(len(data.lines)))]
    return Observation(
        image=f"{DIGIT}{row}:{data.image_noise}",
        sound=name_tones(label, line=line, seed=int(draw.integers(10**9))),
        text=misspell(WORDS[int(label)], typos=data.typos, draw=draw),
        label=label,
    )


def read_table(
    data: TableData, path: Path | str, *, known: Container[str] | None = None
) -> list[Observation]:
    """Read one table; paths are relative to its folder, and a blank is what is missing.

    Args:
        data: Says which columns these are.
        path: Of the table.
        known: All labels that there may be; `None` means any.

    Raises:
        DataError: The table cannot be used, a file that it names is missing or damaged, a line has
            nothing but a label, or another label.
        MissingExtraError: An extra is not installed.
    """
    columns = {name: column for name in MODALITIES if (column := getattr(data, name))}
    found: list[Observation] = []
    rows = read_columns(path, [data.label, *columns.values()], blank=[*columns.values()])
    for number, (label, *values) in rows:
        given = {name: value.strip() for name, value in zip(columns, values, strict=True)}
        label = label.strip()
        check_label(f"{path}:{number}", label, known)
        try:
            found.append(observe({**given, "label": label}, data, folder=Path(path).parent))
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from None
    return found


def parse(text: str, data: Data) -> Observation:
    """Take `image=a.png; sound=b.wav; text=seven`, or the same as a JSON object.

    Raises:
        DataError: It is neither, or names nothing, or a file cannot be used.
        MissingExtraError: An extra is not installed.
    """
    given: Mapping[str, str]
    if text.lstrip().startswith("{"):
        given = _json_object(text)
    else:
        pairs = [part.partition("=") for part in text.split(";") if part.strip()]
        given = {name.strip(): value.strip() for name, _, value in pairs}
        if len(given) < len(pairs):
            raise DataError(f"an input must name each modality once, got {text!r:.80}")
    strange = [name for name in given if name not in MODALITIES]
    if strange:
        raise DataError(
            "an input must look like 'image=a.png; sound=b.wav; text=seven', or be a JSON object "
            f"with some of these, got {strange[0]!r:.60}"
        )
    return observe(given, data, folder=Path())


def observe(given: Mapping[str, str], data: Data, *, folder: Path) -> Observation:
    """Return what is given as an example, once its files are read.

    Args:
        given: Under the names of `Observation`.
        data: How files are read.
        folder: To which paths are relative.

    Raises:
        DataError: Nothing is given, or a file cannot be used.
        MissingExtraError: An extra is not installed.
    """
    given = {name: value for name, value in given.items() if not is_blank(value)}
    if not any(name in given for name in MODALITIES):
        raise DataError(f"an example must have one of {', '.join(MODALITIES)}, got none")
    found = Observation(text=given.get("text", ""), label=given.get("label", ""))
    image, sound = (given.get(name, "") for name in ("image", "sound"))
    if _is_made(image, data):
        read_image(image, data)
        found = replace(found, image=image)
    elif image:
        path = os.path.abspath(folder / image)
        found = replace(found, image=path, image_hash=hash_array(read_image(path, data)))
    if _is_made(sound, data):
        parse_tones(sound)
        found = replace(found, sound=sound)
    elif sound:
        reference = reader_of(data).refer(folder / sound)
        found = replace(found, sound=reference.file, sound_hash=reference.hash)
    return found


def load_images(examples: Sequence[Observation], data: Data) -> Pixels:
    """Read the images again, `(images, height, width, channels)`; a missing one is black.

    Raises:
        DataError: A file is missing or damaged, or holds other pixels than it did.
        MissingExtraError: The extra `images` is not installed.
    """
    size, channels = image_shape(data)
    pixels = np.zeros((len(examples), size, size, channels), np.uint8)
    for place, example in zip(pixels, examples, strict=True):
        if example.image:
            place[:] = read_image(example.image, data)
            if example.image_hash and hash_array(place) != example.image_hash:
                raise DataError(
                    f"{example.image} must hold the pixels that it had when it became an example, "
                    "got others"
                )
    return pixels


def load_sounds(examples: Sequence[Observation], data: Data, sound: Sound) -> list[Features]:
    """Read the sounds again and make features of them; a missing one is one frame of zeros.

    Raises:
        DataError: A file is missing or damaged, or holds other samples than it did.
        MissingExtraError: The extra `sound` is not installed.
    """
    reader, mel = reader_of(data), log_mel_of(sound, data.rate)
    found: list[Features] = []
    for example in examples:
        if not example.sound:
            found.append(np.zeros((1, sound.bands), np.float32))
        elif example.sound_hash:
            found += features_of(
                [SoundReference(example.sound, hash=example.sound_hash)], reader, sound
            )
        else:
            found.append(leveled(mel(reader.read(example.sound)), sound.level))
    return found


def reader_of(data: Data) -> SoundReader:
    """Return what reads the sounds; after built-in ones files are brought to their rate."""
    if isinstance(data, DigitsData):
        return SoundReader(rate=data.rate, resample=True)
    return SoundReader(rate=data.rate, resample=data.resample, longest=data.longest)


def read_image(name: str, data: Data) -> Any:
    """Return the pixels of a file, or of a digit with noise."""
    if _is_made(name, data):
        return digit_pixels(name)
    size, channels = image_shape(data)
    return read_picture(name, size, channels)


def _is_made(name: str, data: Data) -> bool:
    return isinstance(data, DigitsData) and name.startswith((DIGIT, TONES))


def _json_object(text: str) -> Mapping[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"an input must be a whole JSON object, got: {error!s:.80}") from None
    if not isinstance(found, dict):
        raise DataError(f"an input must be a JSON object, got {text!r:.60}")
    for name, value in cast(dict[str, object], found).items():
        if value is not None and not isinstance(value, str):
            raise DataError(f"{name!r:.40} of an input must be a text or null, got {value!r:.40}")
    return {name: value or "" for name, value in cast(dict[str, str | None], found).items()}
