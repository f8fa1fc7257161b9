"""From the `data` section of a config to references to sounds in three splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from heedful.config.base import Count, DataPath, Fraction, OptionalText, Positive, Section
from heedful.data.columns import read_columns
from heedful.data.examples import Splits
from heedful.data.sounds import SoundReader, SoundReference, list_folder
from heedful.data.tones import DIGITS, LINES, SLOWEST, name_tones
from heedful.errors import ConfigError, DataError

NUMBERS = 10**12  # from which the seeds of tones are drawn


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
SampleRate = Annotated[int, Field(ge=SLOWEST, le=192_000)]


class TonesData(Section):
    """The built-in tones of a telephone keypad, on lines with noise, drift and echo."""

    name: Literal["tones"] = "tones"
    examples: Count = 3_000  # sounds over all three splits
    dev: Count = 300
    test: Count = 600
    lines: Names = ("desk", "mobile", "booth")
    fewest: Annotated[int, Field(gt=0, le=100)] = 1  # keys of a sound
    most: Annotated[int, Field(gt=0, le=100)] = 1
    rate: SampleRate = 8_000  # samples a second


class _Files(Section):
    """What all sounds in files have."""

    train: DataPath
    dev: DataPath | None = None  # None: taken out of the training files
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    dev_share: Fraction = 0.1  # of the training files, where there is no dev
    rate: SampleRate = 16_000  # samples a second, which all files must have
    resample: bool = False  # change other rates to this one
    longest: Positive = 30.0  # seconds


class FolderData(_Files):
    """A folder for each label with WAV or FLAC files in it; needs the extra `sound`."""

    name: Literal["folder"] = "folder"


class TableData(_Files):
    """TSV or CSV files that name a WAV or FLAC file in each row; needs the extra `sound`."""

    name: Literal["table"] = "table"
    path: str = "path"  # a column: relative to the table's folder
    label: str = "label"
    speaker: OptionalText = None  # a column, for scores by speaker


SoundData = Annotated[TonesData | FolderData | TableData, Field(discriminator="name")]


def load_sounds(
    data: TonesData | FolderData | TableData, seed: int, *, cut: bool = True
) -> Splits[SoundReference]:
    """Refer to all sounds.

    Args:
        data: Where they are.
        seed: Decides the tones, and which files are taken out for the dev split.
        cut: Read the beginnings of sounds that are too long? Else they are refused.

    Raises:
        ConfigError: The tones cannot be made as asked.
        DataError: A file cannot be used, or nothing is left to learn from.
        MissingExtraError: The extra `sound` is not installed.
    """
    if isinstance(data, TonesData):
        return _tones(data, seed)
    train = read_training(data, cut=cut)
    test = read_split(data, data.test, cut=cut) if data.test else []
    if data.dev:
        return Splits(train, read_split(data, data.dev, cut=cut), test)
    held = max(1, round(data.dev_share * len(train)))
    if held >= len(train):
        raise DataError(
            "the dev split must leave a sound to learn from, "
            f"got data.dev_share = {data.dev_share:g} of {len(train):,} sounds"
        )
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    dev, rest = sorted(order[:held]), sorted(order[held:])
    return Splits([train[row] for row in rest], [train[row] for row in dev], test)


def read_training(data: FolderData | TableData, *, cut: bool = True) -> list[SoundReference]:
    """Refer to the sounds of the training files, those of a dev split that they have to give too.

    Raises:
        DataError: A file cannot be used.
        MissingExtraError: The extra `sound` is not installed.
    """
    return read_split(data, data.train, cut=cut)


def read_split(
    data: FolderData | TableData, path: Path | str, *, cut: bool = True
) -> list[SoundReference]:
    """Refer to the sounds of one folder or table.

    Raises:
        DataError: A file cannot be used; of a table, with the line that names it.
        MissingExtraError: The extra `sound` is not installed.
    """
    reader = reader_of(data, cut=cut)
    if isinstance(data, FolderData):
        return [reader.refer(file, label=label) for file, label in list_folder(path)]
    columns = [data.path, data.label, *([data.speaker] if data.speaker else [])]
    return [_row(reader, Path(path), number, row) for number, row in read_columns(path, columns)]


def reader_of(data: TonesData | FolderData | TableData, *, cut: bool = True) -> SoundReader:
    """Return what reads the sounds."""
    if isinstance(data, TonesData):
        return SoundReader(rate=data.rate, cut=cut)
    return SoundReader(rate=data.rate, resample=data.resample, longest=data.longest, cut=cut)


def problem_of(data: TonesData | FolderData | TableData) -> str | None:
    """Say what does not fit together in a section, or `None`."""
    if not isinstance(data, TonesData):
        return None
    strange = [line for line in data.lines if line not in LINES]
    if strange or not data.lines:
        got = strange[0] if strange else "none"
        return f"data.lines must be some of {', '.join(LINES)}, got {got!r:.60}"
    if data.fewest > data.most:
        return f"data.fewest must be at most data.most, got {data.fewest} and {data.most}"
    if data.dev + data.test >= data.examples:
        return (
            "data.dev and data.test must leave tones to learn from, got "
            f"{data.dev:,} and {data.test:,} of {data.examples:,}"
        )
    return None


def draw_tones(
    count: int,
    *,
    lines: Sequence[str],
    keys: str = DIGITS,
    lengths: tuple[int, int] = (1, 1),
    rate: int = 8_000,
    seed: int = 0,
) -> list[SoundReference]:
    """Refer to tones, each of which is labelled with its keys and spoken by its line.

    Args:
        count: How many.
        lines: Where they are dialled; all of them equally often.
        keys: Those that are dialled.
        lengths: Fewest and most keys of a sound.
        rate: Samples a second.
        seed: Decides all of it.
    """
    draw, reader = np.random.default_rng(seed), SoundReader(rate=rate)
    found: list[SoundReference] = []
    for number in range(count):
        line = lines[number % len(lines)]
        dialled = "".join(draw.choice(list(keys), int(draw.integers(lengths[0], lengths[1] + 1))))
        name = name_tones(dialled, line=line, seed=int(draw.integers(NUMBERS)))
        found.append(reader.refer(name, label=dialled, speaker=line))
    return found


def _tones(data: TonesData, seed: int) -> Splits[SoundReference]:
    problem = problem_of(data)
    if problem:
        raise ConfigError(problem)
    lengths = (data.fewest, data.most)
    made = draw_tones(data.examples, lines=data.lines, lengths=lengths, rate=data.rate, seed=seed)
    dev, test = data.dev, data.dev + data.test
    return Splits(train=made[test:], dev=made[:dev], test=made[dev:test])


def _row(reader: SoundReader, table: Path, number: int, row: list[str]) -> SoundReference:
    file, label, *speaker = (each.strip() for each in row)
    try:
        return reader.refer(table.parent / file, label=label, speaker="".join(speaker))
    except DataError as error:
        raise DataError(f"{table}:{number}: {error}") from None
