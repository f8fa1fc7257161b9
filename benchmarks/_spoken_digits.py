"""The Free Spoken Digit Dataset as tables: recordings 0 to 4 of each digit and speaker are test."""

import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.data.sounds import read_sound, write_sound

ARCHIVE = Path("../shared/data/spoken_digits.tar.xz")
RATE = 8_000
SPEAKERS = ("jackson", "nicolas", "theo")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Recording(NamedTuple):
    """One recording: its file, what is said in it, and by whom."""

    path: Path
    digit: int
    speaker: str
    index: int

    @property
    def is_test(self) -> bool:
        """Is it of the official test part?"""
        return self.index < 5


def unpack(folder: Path) -> list[Recording]:
    """Unpack the recordings, once, and list them."""
    if not (folder / "recordings").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder / "unpacking", filter="data")
        (folder / "unpacking").rename(folder / "recordings")
    found: list[Recording] = []
    for path in sorted((folder / "recordings").rglob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        found.append(Recording(path, int(digit), speaker, int(index)))
    return found


def write_table(
    path: Path, recordings: list[Recording], *, label: str = "digit", words: bool = True
) -> None:
    """Write a table of recordings with a label: what is said, or by whom."""
    rows = ["path,label,speaker"]
    for each in recordings:
        said = WORDS[each.digit] if words else str(each.digit)
        shown = each.speaker if label == "speaker" else said
        rows.append(f"{each.path.relative_to(path.parent)},{shown},{each.speaker}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_strings(folder: Path, recordings: list[Recording], *, count: int, seed: int) -> Path:
    """Write sounds of three to seven digits by one speaker, and the table of what is said.

    Between the recordings are pauses of up to a quarter of a second with faint noise in them.
    """
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    sounds = {each.path: read_sound(each.path)[0] for each in recordings}
    rows = ["path,text,speaker"]
    for number in range(count):
        speaker = SPEAKERS[number % len(SPEAKERS)]
        own = [each for each in recordings if each.speaker == speaker]
        said = [own[int(draw.integers(len(own)))] for _ in range(int(draw.integers(3, 8)))]
        parts = [_pause(draw)]
        for each in said:
            parts += [sounds[each.path], _pause(draw)]
        write_sound(folder / f"{number:04}.flac", np.concatenate(parts), RATE)
        text = " ".join(WORDS[each.digit] for each in said)
        rows.append(f"{folder.name}/{number:04}.flac,{text},{speaker}")
    table = folder.with_suffix(".csv")
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def _pause(draw: np.random.Generator) -> Any:
    return draw.normal(0, 1e-3, int(draw.uniform(0, 0.25) * RATE)).astype(np.float32)
