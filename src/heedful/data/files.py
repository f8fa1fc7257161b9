"""Readers of text files: pairs separated by tabs, or two files that agree line by line."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from heedful.data.blank import is_blank
from heedful.data.examples import Example
from heedful.errors import DataError


def read_tsv(path: Path | str) -> list[Example]:
    """Read source and target from the first two columns; further columns are ignored.

    Args:
        path: A UTF-8 file, with or without a byte order mark; `.gz` is unpacked.

    Raises:
        DataError: The file is missing, damaged, empty or not UTF-8, a line has fewer than two
            columns, one of the two is blank, or quotation marks hold a tab together. No line is
            ever skipped.
    """
    examples: list[Example] = []
    for number, line in read_lines(Path(path)):
        columns = line.split("\t")
        if len(columns) < 2:
            raise DataError(
                f"{path}:{number} must have two columns parted by a tab, got {line[:40]!r}"
            )
        if any(map(_quoted_tab, columns[:2], columns[1:])):
            raise DataError(
                f"{path}:{number} must have no tab inside a text, got one between quotation marks: "
                f"{line[:40]!r}"
            )
        for side, text in zip(("source", "target"), columns, strict=False):
            _check_text(path, number, side, text)
        examples.append(Example(columns[0], columns[1]))
    return examples


def read_aligned(source_path: Path | str, target_path: Path | str) -> list[Example]:
    """Read one text a line from each file; line n of one translates line n of the other.

    Args:
        source_path: A UTF-8 file, with or without a byte order mark; `.gz` is unpacked.
        target_path: Another one with as many lines.

    Raises:
        DataError: A file is missing, damaged, empty or not UTF-8, the two differ in length, or a
            line is blank. No line is ever skipped.
    """
    sides: list[list[str]] = []
    for side, path in (("source", source_path), ("target", target_path)):
        texts: list[str] = []
        for number, line in read_lines(Path(path)):
            _check_text(path, number, side, line)
            texts.append(line)
        sides.append(texts)
    source, target = sides
    if len(source) != len(target):
        raise DataError(
            f"two aligned files must have equally many lines, got {len(source)} in {source_path} "
            f"and {len(target)} in {target_path}"
        )
    return [Example(*pair) for pair in zip(source, target, strict=True)]


def _quoted_tab(column: str, following: str) -> bool:
    """Did the two stand in one pair of quotation marks, as spreadsheets write a text with a tab?"""
    opened = column.startswith('"') and column.count('"') % 2 == 1
    return opened and following.endswith('"') and following.count('"') % 2 == 1


def _check_text(path: Path | str, number: int, side: str, text: str) -> None:
    if is_blank(text):
        raise DataError(f"{path}:{number} must have some {side} text, got {text!r}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read line numbers from 1 and lines without their ends; only a line feed ends a line.

    Raises:
        DataError: The file is missing, no ordinary one, damaged, empty or not UTF-8.
    """
    number = 0
    # a pipe would be waited for, and a device has no end
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise DataError(f"{path} must be a text file, got no ordinary file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, _decode(path, number, line)
    except FileNotFoundError:
        raise DataError(f"{path} must be a text file, got no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}:{number + 1} must be whole gzip data, got: {error}") from None
    except OSError as error:
        raise DataError(f"{path} must be a readable file, got: {error.strerror}") from None
    if number == 0:
        raise DataError(f"{path} must have at least one line, got an empty file")


def _decode(path: Path, number: int, line: bytes) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        # The codec that removes the mark counts from behind it.
        at = error.start + len(line) - len(error.object)
        raise DataError(
            f"{path}:{number} must be UTF-8, got 0x{line[at]:02x} as byte {at + 1} of the line"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
