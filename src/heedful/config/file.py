"""A config from a TOML file and `--set` overrides, and back; every problem is reported at once."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from heedful.config.base import TaskConfig, dump
from heedful.config.problems import describe, show, variants
from heedful.errors import ConfigError
from heedful.texts import parse_toml

Schema = TypeVar("Schema", bound=TaskConfig)
LIMITS = ("steps", "epochs", "minutes")  # of a training
MOST_LEVELS = 16  # of tables and lists in each other
MOST_BYTES = 1 << 20


def read_tables(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file, as they stand there.

    Raises:
        ConfigError: The file cannot be read, or is no TOML.
    """
    tables = _parse(_read(Path(path)), str(path))
    _check_depth(tables, str(path))
    return tables


def parse_tables(
    data: Mapping[str, Any],
    schema: type[Schema],
    *,
    overrides: Sequence[str] = (),
    name: str = "config",
) -> Schema:
    """The config in plain data, with the overrides on top.

    A `[data]` or `[model]` table without a `name` has the name that the default config has, and a
    `[train]` table without a limit has the default's: to change one setting, name only that one. An
    override of a `name` makes a table one of another kind: settings that only the kind before has
    go, unless they are other than its defaults.

    Args:
        data: Tables, as from TOML.
        schema: Of the task.
        overrides: Like `model.width=64`. The value is TOML; what is not TOML is a text.
        name: Of the config, for messages.

    Raises:
        ConfigError: Settings cannot be used; names all of them under the header `name`.
    """
    _check_depth(data, name)
    tables = _copy(data)
    problems: list[str] = []
    before = {key: table.get("name") for key, table in tables.items() if isinstance(table, dict)}
    overridden = {key for text in overrides if (key := _override(tables, text, problems))}
    _check_depth(tables, name)
    _complete(tables, schema)
    _leave_other_kind(tables, before, overridden, schema)
    try:
        # strict: TOML has types, so "64" and true are not silently the numbers 64 and 1
        config = schema.model_validate(tables, strict=True)
    except ValidationError as error:
        problems += describe(error, schema, overridden=overridden)
    else:
        if not problems:
            return config
    problems = list(dict.fromkeys(problems))
    header = f"{name}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    raise ConfigError("\n  ".join([header, *problems])) from None


def dump_toml(config: TaskConfig) -> str:
    """The config as TOML with every setting in it, which is read back as the same config.

    (Only a `train` without any limit, which cannot be trained, comes back with the default one.)
    The emitter is our own: a config holds nothing but tables of texts, numbers, booleans and lists.
    """
    plain = dump(config)
    tables = {key: value for key, value in plain.items() if isinstance(value, dict)}
    lines = [f"{key} = {toml(value)}" for key, value in plain.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{name} = {toml(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def toml(value: object) -> str:
    """One text, number, boolean or list of them as TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(each) for each in cast(Sequence[object], value))}]"
    if isinstance(value, bool | str):
        # JSON's escapes are also TOML's, except that TOML wants DEL escaped as well
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _complete(tables: dict[str, Any], schema: type[TaskConfig]) -> None:
    for key, field in schema.model_fields.items():
        table = tables.get(key)
        known = isinstance(field.default, BaseModel)  # else the user must choose
        if field.discriminator is not None and known and isinstance(table, dict):
            cast(dict[str, Any], table).setdefault("name", field.default.name)
    train = tables.get("train")
    if isinstance(train, dict) and not {*LIMITS} & train.keys():
        default = schema.model_fields["train"].default
        train |= {key: getattr(default, key) for key in LIMITS if getattr(default, key, None)}


def _leave_other_kind(
    tables: dict[str, Any],
    before: Mapping[str, Any],
    overridden: Collection[str],
    schema: type[TaskConfig],
) -> None:
    """Take out what only the kind of table before an override of its `name` had, by default."""
    for key, field in schema.model_fields.items():
        table, kinds = tables.get(key), variants(field)
        if f"{key}.name" not in overridden or not isinstance(table, dict):
            continue
        table = cast(dict[str, Any], table)
        old = kinds.get(str(before.get(key) or getattr(field.default, "name", "")))
        new = kinds.get(str(table["name"]))
        if old is None or new is None:
            continue
        for leaf in [*table]:
            was, is_now = old.model_fields.get(leaf), new.model_fields.get(leaf)
            same = is_now is not None and was is not None and is_now.annotation == was.annotation
            if was is None or same or f"{key}.{leaf}" in overridden:
                continue
            if table[leaf] == was.default:
                del table[leaf]


def _check_depth(data: Mapping[str, Any], name: str) -> None:
    """Check, without going down into it, that nothing is nested deeper than anybody nests."""
    inside: list[Any] = [data]
    for _ in range(MOST_LEVELS):
        tables = [x for x in inside if isinstance(x, Mapping)]
        lists = [x for x in inside if isinstance(x, list)]
        inside = [y for x in tables for y in x.values()] + [y for x in lists for y in x]
        if not inside:
            return
    raise ConfigError(f"{name} must be nested in at most {MOST_LEVELS} levels, got more")


def _copy(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copy(cast(Mapping[str, Any], value)) if isinstance(value, Mapping) else value
        for key, value in data.items()
    }


def _override(tables: dict[str, Any], text: str, problems: list[str]) -> str | None:
    """Put one override into the tables; returns its dotted key."""
    key, equals, value = text.partition("=")
    *parents, leaf = parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        problems.append(f"--set must look like key=value, got {show(text)}")
        return None
    table = tables
    for depth, parent in enumerate(parents, start=1):
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            problems.append(f"{'.'.join(parts[:depth])} must be a table, got {show(inner)}")
            return None
        table = cast(dict[str, Any], inner)
    table[leaf] = _value(value.strip())
    return ".".join(parts)


def _value(text: str) -> Any:
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:  # also a number of more digits than Python reads
        return text
    return parsed["value"] if len(parsed) == 1 else text  # a line break could smuggle in a key


def _read(path: Path) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{path} must be a file, got a pipe or a device")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} must be an existing file, got nothing there. "
            "`heedful new TASK -o FILE` writes one."
        ) from None
    except OSError as error:
        got = "a folder" if path.is_dir() else str(error.strerror)
        raise ConfigError(f"{path} must be a readable file, got {got}") from None
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path} must be a config of at most {MOST_BYTES:,} bytes, got more")
    try:
        return raw.decode("utf-8-sig")  # editors on Windows put a byte order mark in front
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path} must be UTF-8 text, got byte 0x{raw[error.start]:02x} in line {line}"
        ) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    text = text.replace("\r\n", "\n")
    try:
        return parse_toml(text)
    except ValueError as error:
        message, place = re.fullmatch(r"(.*?)(?: \(at (.*)\))?", str(error), re.DOTALL).groups()  # type: ignore[union-attr]
        problem = f"{name} must be valid TOML, got {place or 'an error'}: {message}"
        found = re.match(r"line (\d+)", place or "")
        if found:
            line = text.split("\n")[int(found[1]) - 1]
            problem += f"\n  {found[1]} | {line.strip()[:100]}"
        raise ConfigError(problem) from None
