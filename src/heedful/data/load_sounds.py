"""From the `data` section of a config to references to sounds in three splits."""

from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from heedful.config.base import Count, DataPath, OptionalText, Positive, Section
from heedful.data.columns import read_columns
from heedful.data.examples import Splits, check_label
from heedful.data.sounds import SoundReader, SoundReference, list_folder
from heedful.data.tones import DIGITS, LINES, LONGEST, SLOWEST, name_tones
from heedful.errors import ConfigError, DataError

NUMBERS = 10**12  # from which the seeds of tones are drawn


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Keys = Annotated[int, Field(gt=0, le=LONGEST)]
Share = Annotated[float, Field(gt=0, lt=1)]
SampleRate = Annotated[int, Field(ge=SLOWEST, le=192_000)]


class TonesData(Section):
    """The built-in tones of a telephone keypad, one digit each, on lines with noise and echo."""

    order = ("name",)
    name: Literal["tones"] = "tones"
    examples: Count = 3_000  # sounds over all three splits
    dev: Count = 300
    test: Count = 600
    lines: Names = ("desk", "mobile", "booth")  # there is one more: abroad
    rate: SampleRate = 8_000  # samples a second

    @property
    def lengths(self) -> tuple[int, int]:
        """Fewest and most keys of a sound."""
        return 1, 1


class NumbersData(TonesData):
    """The built-in tones of a telephone keypad, several digits each."""

    fewest: Keys = 3  # digits of a sound
    most: Keys = 7

    @property
    def lengths(self) -> tuple[int, int]:
        """Fewest and most keys of a sound."""
        return self.fewest, self.most


class FilesData(Section):
    """What all sounds in files have."""

    order = ("name",)

    train: DataPath
    dev: DataPath | None = None  # None: taken out of the training files
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    dev_share: Share = 0.1  # of the training files, where there is no dev
    rate: SampleRate = 16_000  # samples a second, which all files must have
    resample: bool = False  # change other rates to this one
    longest: Positive = 30.0  # seconds


class FolderData(FilesData):
    """A folder for each label with WAV or FLAC files in it; needs the extra `sound`."""

    name: Literal["folder"] = "folder"


class TableData(FilesData):
    """TSV or CSV files that name a WAV or FLAC file in each row; needs the extra `sound`."""

    name: Literal["table"] = "table"
    path: str = "path"  # a column: relative to the table's folder
    label: str = "label"  # a column
    speaker: OptionalText = None  # a column, for scores by speaker


class TextsData(FilesData):
    """TSV or CSV files: a WAV or FLAC file in each row, and what is said in it."""

    name: Literal["table"] = "table"
    path: str = "path"  # a column: relative to the table's folder
    text: str = "text"  # a column
    speaker: OptionalText = None  # a column, for scores by speaker


AnyData = TonesData | FolderData | TableData | TextsData


def load_sounds(data: AnyData, seed: int) -> Splits[SoundReference]:
    """Refer to all sounds.

    Args:
        data: Where they are. With labels, training keeps a sound of each when a dev split is taken
            out of its files, and dev and test have no label that training has not.
        seed: Decides the tones, and which files are taken out for the dev split.

    Raises:
        ConfigError: The tones cannot be made as asked.
        DataError: A file cannot be used, or nothing is left to learn from.
        MissingExtraError: The extra `sound` is not installed.
    """
    if isinstance(data, TonesData):
        return _tones(data, seed)
    train, dev = _training(data, seed)
    known = None if isinstance(data, TextsData) else {each.label for each in train}
    if data.dev:
        dev = read_split(data, data.dev, known=known)
    return Splits(train, dev, read_split(data, data.test, known=known) if data.test else [])


def load_training(data: AnyData, seed: int) -> list[SoundReference]:
    """Refer to the sounds of the training split alone; files of the others may be gone.

    Raises:
        ConfigError: As for `load_sounds`.
        DataError: As for `load_sounds`.
        MissingExtraError: As for `load_sounds`.
    """
    return _tones(data, seed).train if isinstance(data, TonesData) else _training(data, seed)[0]


def read_split(
    data: FolderData | TableData | TextsData,
    path: Path | str,
    *,
    known: Container[str] | None = None,
) -> list[SoundReference]:
    """Refer to the sounds of one folder or table.

    Args:
        data: How it is read.
        path: Of the folder or the table.
        known: All labels that there may be; `None` means any.

    Raises:
        DataError: A file cannot be used, or has another label; of a table, with the line that
            names it.
        MissingExtraError: The extra `sound` is not installed.
    """
    reader = reader_of(data)
    if isinstance(data, FolderData):
        files = list_folder(path)
        for file, label in files:
            check_label(file, label, known)
        return [reader.refer(file, label=label) for file, label in files]
    label = data.text if isinstance(data, TextsData) else data.label
    columns = [data.path, label, *([data.speaker] if data.speaker else [])]
    found: list[SoundReference] = []
    for number, row in read_columns(path, columns):
        file, label, *speaker = (each.strip() for each in row)
        check_label(f"{path}:{number}", label, known)
        try:
            found.append(
                reader.refer(Path(path).parent / file, label=label, speaker="".join(speaker))
            )
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from None
    return found


def reader_of(data: AnyData) -> SoundReader:
    """Return what reads the sounds.

    Of a labelled sound that is too long the beginning is read; one of which all is to be written
    down is refused. After tones, a user's own files are brought to the rate of these.
    """
    if isinstance(data, TonesData):
        return SoundReader(rate=data.rate, resample=True, cut=data.lengths == (1, 1))
    cut = not isinstance(data, TextsData)
    return SoundReader(rate=data.rate, resample=data.resample, longest=data.longest, cut=cut)


def problem_of(data: AnyData) -> str | None:
    """Say what does not fit together in a section, or `None`."""
    if not isinstance(data, TonesData):
        return None
    strange = [line for line in data.lines if line not in LINES]
    if strange or not data.lines:
        got = strange[0] if strange else "none"
        return f"data.lines must be some of {', '.join(LINES)}, got {got!r:.60}"
    fewest, most = data.lengths
    if fewest > most:
        return f"data.fewest must be at most data.most, got {fewest} and {most}"
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
    made = draw_tones(
        data.examples, lines=data.lines, lengths=data.lengths, rate=data.rate, seed=seed
    )
    dev, test = data.dev, data.dev + data.test
    return Splits(train=made[test:], dev=made[:dev], test=made[dev:test])


def _training(
    data: FolderData | TableData | TextsData, seed: int
) -> tuple[list[SoundReference], list[SoundReference]]:
    """The training files, and what is taken out of them for the dev split."""
    whole = read_split(data, data.train)
    if data.dev:
        return whole, []
    wanted = max(1, round(data.dev_share * len(whole)))
    left, held = Counter(each.label for each in whole), set[int]()
    for row in np.random.default_rng(seed).permutation(len(whole)).tolist():
        label = whole[row].label
        if len(held) < wanted and (left[label] > 1 or isinstance(data, TextsData)):
            held.add(row)
            left[label] -= 1
    if len(held) in (0, len(whole)):
        raise DataError(
            "the training files must hold enough to learn from and a dev split, "
            f"got {len(whole):,} sounds of {len(left):,} labels"
        )
    rest = [each for row, each in enumerate(whole) if row not in held]
    return rest, [whole[row] for row in sorted(held)]
