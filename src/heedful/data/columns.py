"""Readers of tables: some columns of a TSV or CSV file, by name or by number."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from heedful.data.blank import is_blank
from heedful.data.files import read_lines
from heedful.errors import DataError

LARGEST = 1e18  # its square is still a number of 32 bits


def read_columns(
    path: Path | str, columns: Sequence[str], *, blank: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Read some columns of a table, row by row.

    A file named `*.csv` has commas between its columns and may quote them; every other one has
    tabs, and a quotation mark in it is one. `.gz` is unpacked.

    Args:
        path: A UTF-8 file, with or without a byte order mark.
        columns: Names in the header, which is the first line, or numbers that count from 1. Where
            all are numbers there is no header, and the first line is data.
        blank: Those of them that may be blank.

    Returns:
        The number of the line in which a row ends, and the row's chosen columns.

    Raises:
        DataError: The file is missing, damaged, empty or not UTF-8, it has no such column, a row
            has fewer or more columns than the first one, or one of the chosen ones is blank. No
            row is ever skipped.
    """
    path = Path(path)
    split = _commas if ".csv" in path.suffixes else _tabs
    rows = split(path)
    number, first = next(rows)
    places = _places(path, first, columns)
    if all(map(str.isdecimal, columns)):
        yield number, _chosen(path, number, first, columns, places, blank)
    else:
        number = 0
    for number, row in rows:
        if len(row) != len(first):
            got = "a blank line" if row in ([], [""]) else len(row)
            raise DataError(
                f"{path}:{number} must have {len(first)} columns like the first line, got {got}"
            )
        yield number, _chosen(path, number, row, columns, places, blank)
    if not number:
        raise DataError(f"{path} must have a line below its header, got none")


def read_header(path: Path | str) -> list[str]:
    """Return the names in the first line of a table.

    Args:
        path: As `read_columns` takes it.

    Raises:
        DataError: The file is missing, damaged, empty or not UTF-8.
    """
    split = _commas if ".csv" in Path(path).suffixes else _tabs
    return [name.strip() for name in next(split(Path(path)))[1]]


def number_in(path: Path | str, line: int, column: str, text: str) -> float:
    """Return the number in a cell.

    Args:
        path: Of the table, for messages.
        line: Of the cell.
        column: Of the cell.
        text: Which is there.

    Raises:
        DataError: It is no number, or beyond `LARGEST`, with which nothing could be learned.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise DataError(f"{path}:{line} must have a number in column {column!r}, got {text!r:.80}")
    if abs(number) > LARGEST:
        raise DataError(
            f"{path}:{line} must have a number from -1e18 to 1e18 in column {column!r}, "
            f"got {text!r:.80}"
        )
    return number


def _places(path: Path, first: list[str], columns: Sequence[str]) -> list[int]:
    """Where the chosen columns are in a row."""
    header = [name.strip() for name in first]
    places: list[int] = []
    for column in columns:
        if column.isdecimal():
            if not 1 <= int(column) <= len(first):
                raise DataError(f"{path}:1 must have a column {column}, got {len(first)} columns")
            places.append(int(column) - 1)
        elif header.count(column) != 1:
            shown = ", ".join(header)
            raise DataError(f"{path}:1 must have one column {column!r}, got {shown:.200}")
        else:
            places.append(header.index(column))
    return places


def _chosen(
    path: Path,
    number: int,
    row: list[str],
    columns: Sequence[str],
    places: list[int],
    blank: Sequence[str],
) -> list[str]:
    chosen = [row[place] for place in places]
    for column, text in zip(columns, chosen, strict=True):
        if column not in blank and is_blank(text):
            raise DataError(f"{path}:{number} must have a text in column {column!r}, got {text!r}")
    return chosen


def _tabs(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in read_lines(path):
        yield number, line.split("\t")


def _commas(path: Path) -> Iterator[tuple[int, list[str]]]:
    # a quoted text may go on over several lines
    reader = csv.reader((f"{line}\n" for _, line in read_lines(path)), strict=True)
    begun = 1  # where an open quotation mark stands, and not where the reader gave up
    try:
        for row in reader:
            yield reader.line_num, row
            begun = reader.line_num + 1
    except csv.Error as error:
        most = f"{csv.field_size_limit():,}"
        doubt = f"a cell of more than {most} characters. Is a quotation mark left open?"
        got = doubt if "field limit" in str(error) else error
        raise DataError(f"{path}:{begun} must be CSV, got: {got}") from None
