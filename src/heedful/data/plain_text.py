"""Readers of running text: a file, or all text files of a folder one behind the other."""

from pathlib import Path

from heedful.data.blank import is_blank
from heedful.data.files import read_lines
from heedful.errors import DataError

SUFFIXES = (".txt", ".txt.gz")


def read_text(path: Path | str) -> str:
    """Read a text, with `\\n` between its lines.

    Args:
        path: A UTF-8 file, with or without a byte order mark, or a folder of `*.txt` and
            `*.txt.gz`, which are read in the order of their names; `.gz` is unpacked.

    Raises:
        DataError: A file is missing, damaged, blank or not UTF-8, two files of a folder are the
            same text, or a folder has no text file.
    """
    path = Path(path)
    if not path.is_dir():
        return _read(path)
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    if not files:
        raise DataError(f"{path} must have a file *.txt or *.txt.gz, got none")
    found: dict[str, Path] = {}
    for file in files:
        text = _read(file)
        if text in found:
            raise DataError(f"{file} must be another text than {found[text].name}, got it again")
        found[text] = file
    return "\n".join(found)


def _read(path: Path) -> str:
    text = "\n".join(line for _, line in read_lines(path)) + "\n"
    if is_blank(text):
        raise DataError(f"{path} must have some text, got {len(text)} blank characters")
    return text
