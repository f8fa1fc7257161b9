"""Examples for a checkpoint: texts of a file, or images and sounds of a folder or a table."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from heedful.data.columns import read_columns, read_header
from heedful.data.files import read_lines
from heedful.data.label_folders import list_label_folders
from heedful.errors import ConfigError, DataError

Role = Literal["text", "pair", "label", "target", "file"]
ROLES: tuple[Role, ...] = get_args(Role)
TABLES, LINES, OBJECTS = (".csv", ".tsv"), (".txt",), (".jsonl",)
KINDS = "*.txt, *.csv, *.tsv or *.jsonl, plain or as .gz"


@dataclass(frozen=True, slots=True)
class CheckpointExample:
    """What is read, and what is known to be right.

    Args:
        text: What is read. Empty where that is an image or a sound.
        pair: A second text that is read together with the first one.
        label: The name of the right class, or its number. Empty where nobody knows it.
        target: What should be written. Empty where nobody knows it.
        file: The absolute path of an image or a sound.
    """

    text: str = ""
    pair: str = ""
    label: str = ""
    target: str = ""
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckpointData:
    """Where examples come from.

    Args:
        path: A file (`*.txt`, one text a line; `*.csv`, `*.tsv`, `*.jsonl`, with named columns;
            each also as `.gz`), or a folder of images or sounds: all of them, or a folder for each
            label.
        columns: From `text`, `pair`, `label`, `target` or `file` to the name of a column, or to its
            number where a table has no header. What is not named is looked for by its own name.
        test: Another such file or folder, to judge on. `None` means that a part of the first is
            kept back for it.

    Raises:
        ConfigError: There is no such role.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    test: Path | None = None

    def __post_init__(self) -> None:
        for role in self.columns:
            if role not in ROLES:
                raise ConfigError(f"columns must be of {', '.join(ROLES)}, got {role!r}")


def read_examples(
    path: Path,
    columns: Mapping[str, str],
    *,
    needed: Sequence[Role],
    wanted: Collection[Role] = (),
    suffixes: Sequence[str] = (),
) -> list[CheckpointExample]:
    """Read all examples of a file or a folder; no line is skipped but blank ones of a `*.txt`.

    Args:
        path: As in `CheckpointData`.
        columns: As in `CheckpointData`.
        needed: What every example must have.
        wanted: What is read too where the data has it.
        suffixes: Of the files that a folder holds; empty where no folder can be read.

    Raises:
        DataError: The path is missing, damaged, empty, or of another kind, or has no such column.
    """
    if path.is_dir():
        return _of_folder(path, suffixes, columns)
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "").lower()
    if kind in LINES:
        _check_lines(path, columns, needed)
        found = [CheckpointExample(text=text) for _, text in read_lines(path) if text.strip()]
        if not found:
            raise DataError(f"{path} must have a line with a text, got blank ones only")
        return found
    if kind in TABLES:
        there = [] if _by_number(columns) else read_header(path)
        chosen = _chosen(path, there, columns, needed, wanted)
        rows = read_columns(path, [*chosen.values()], blank=_may_be_blank(chosen, needed))
        found = [dict(zip(chosen, row, strict=True)) for _, row in rows]
    elif kind in OBJECTS:
        found = list(_of_objects(path, columns, needed, wanted))
    else:
        what = f"{KINDS}{', or a folder' if suffixes else ''}"
        raise DataError(f"data must be {what}, got {path}")
    return [_placed(row, path.parent) for row in found]


def _of_folder(
    path: Path, suffixes: Sequence[str], columns: Mapping[str, str]
) -> list[CheckpointExample]:
    if not suffixes:
        raise DataError(f"data must be {KINDS} for a model that reads texts, got the folder {path}")
    if columns:
        raise DataError(f"a folder must be read without columns, got {', '.join(columns)}")
    children = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    files = [child for child in children if child.suffix.lower() in suffixes]
    if files:
        return [CheckpointExample(file=str(child.absolute())) for child in files]
    if not any(child.is_dir() for child in children):
        raise DataError(f"{path} must hold {', '.join(suffixes)} files, got none")
    kind = f"one of {', '.join(suffixes)}"
    labelled = list_label_folders(path, suffixes=suffixes, others=(), kind=kind)
    return [CheckpointExample(file=file, label=label) for file, label in labelled]


def _check_lines(path: Path, columns: Mapping[str, str], needed: Sequence[Role]) -> None:
    if columns:
        raise DataError(f"{path} must be a table to have columns, got lines of text")
    missing = [role for role in needed if role != "text"]
    if missing:
        raise DataError(
            f"data must be a table with a column {missing[0]!r}, got lines of text in {path}"
        )


def _by_number(columns: Mapping[str, str]) -> bool:
    return bool(columns) and all(map(str.isdecimal, columns.values()))


def _chosen(
    path: Path,
    there: Sequence[str],
    columns: Mapping[str, str],
    needed: Sequence[Role],
    wanted: Collection[Role],
) -> dict[Role, str]:
    """The column of each role: as the user names it, else by the name of the role."""
    chosen: dict[Role, str] = {}
    for role in ROLES:
        if role not in (*needed, *wanted):
            if role in columns:
                raise DataError(f"this model must be given no {role}, got {columns[role]!r} for it")
            continue
        name = columns.get(role, role)
        if name in there or (role in columns and _by_number(columns)):
            chosen[role] = name
        elif role in needed or role in columns:
            shown = ", ".join(there) or "numbers for other columns only"
            hint = "" if role in columns else f". Say which it is: --column {role}=NAME"
            raise DataError(f"{path} must have a column {name!r}, got {shown:.200}{hint}")
    return chosen


def _may_be_blank(chosen: Mapping[Role, str], needed: Sequence[Role]) -> list[str]:
    return [name for role, name in chosen.items() if role not in needed and role != "label"]


def _of_objects(
    path: Path, columns: Mapping[str, str], needed: Sequence[Role], wanted: Collection[Role]
) -> Iterator[dict[Role, str]]:
    chosen: dict[Role, str] | None = None
    for number, line in read_lines(path):
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number} must be a JSON object, got: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number} must be a JSON object, got {line:.40}")
        values = cast(dict[str, Any], row)
        if chosen is None:
            chosen = _chosen(path, list(values), columns, needed, wanted)
        yield {
            role: _cell(path, number, name, values.get(name), may_be_blank=role not in needed)
            for role, name in chosen.items()
        }


def _cell(path: Path, line: int, name: str, value: Any, *, may_be_blank: bool) -> str:
    text = str(value) if type(value) in (str, int) else ""
    if type(value) not in (str, int) and not (value is None and may_be_blank):
        raise DataError(f"{path}:{line} must have a text in {name!r}, got {value!r:.80}")
    if not text.strip() and not may_be_blank:
        raise DataError(f"{path}:{line} must have a text in {name!r}, got {text!r}")
    return text


def _placed(row: Mapping[Role, str], folder: Path) -> CheckpointExample:
    """An example whose file is found from the table that names it."""
    file = row.get("file", "")
    where = str((folder / file).absolute()) if file else ""
    return CheckpointExample(**{**row, "file": where})
