"""The Free Spoken Digit Dataset as tables: recordings 0 to 4 of each digit and speaker are test."""

import tarfile
from pathlib import Path
from typing import NamedTuple

ARCHIVE = Path("../shared/data/spoken_digits.tar.xz")
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
