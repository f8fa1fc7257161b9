"""A config from a TOML file and `--set` overrides, and back; every problem is reported at once."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from heedful.config import Config, dump
from heedful.config_problems import describe, show
from heedful.errors import ConfigError


def load_config(path: Path | str, *, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML file, with the overrides on top.

    Args:
        path: A UTF-8 file; whatever it leaves out has its default.
        overrides: Like `model.width=64`. The value is TOML; what is not TOML is a text.

    Raises:
        ConfigError: The file cannot be read, or settings cannot be used; names all of them.
    """
    return parse_config(_parse(_read(Path(path)), str(path)), overrides=overrides, name=str(path))


def parse_config(
    data: Mapping[str, Any], *, overrides: Sequence[str] = (), name: str = "config"
) -> Config:
    """The config in plain data, with the overrides on top.

    A `[data]` or `[model]` table without a `name` has the name that the default config has, and a
    `[train]` table without a limit has the default's: to change one setting, name only that one.

    Raises:
        ConfigError: Settings cannot be used; names all of them under the header `name`.
    """
    tables = _copy(data)
    problems: list[str] = []
    overridden = {key for text in overrides if (key := _override(tables, text, problems))}
    _complete(tables)
    try:
        # strict: TOML has types, so "64" and true are not silently the numbers 64 and 1
        config = Config.model_validate(tables, strict=True)
    except ValidationError as error:
        problems += describe(error, overridden=overridden)
    else:
        if not problems:
            return config
    problems = list(dict.fromkeys(problems))
    header = f"{name}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    raise ConfigError("\n  ".join([header, *problems])) from None


def dump_toml(config: Config) -> str:
    """The config as TOML with every setting in it; `load_config` reads it back as the same config.

    (Only a `train` without any limit, which cannot be trained, comes back with the default one.)
    The emitter is our own: a config holds nothing but tables of texts, numbers and booleans.
    """
    plain = dump(config)
    tables = {key: value for key, value in plain.items() if isinstance(value, dict)}
    lines = [f"{key} = {toml(value)}" for key, value in plain.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{name} = {toml(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def toml(value: object) -> str:
    """One text, number or boolean as TOML."""
    if isinstance(value, bool | str):
        # JSON's escapes are also TOML's, except that TOML wants DEL escaped as well
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _complete(tables: dict[str, Any]) -> None:
    for key, field in Config.model_fields.items():
        table = tables.get(key)
        if field.discriminator is not None and isinstance(table, dict):
            cast(dict[str, Any], table).setdefault("name", field.default.name)
    train = tables.get("train")
    if isinstance(train, dict) and not {"steps", "epochs", "minutes"} & train.keys():
        train["minutes"] = Config().train.minutes


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
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text  # a line break could smuggle in a key


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path} must be an existing file, got nothing there. "
            "`heedful new translation -o FILE` writes one."
        ) from None
    except OSError as error:
        got = "a folder" if path.is_dir() else str(error.strerror)
        raise ConfigError(f"{path} must be a readable file, got {got}") from None
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
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, place = re.fullmatch(r"(.*?)(?: \(at (.*)\))?", str(error), re.DOTALL).groups()  # type: ignore[union-attr]
        problem = f"{name} must be valid TOML, got {place or 'an error'}: {message}"
        found = re.match(r"line (\d+)", place or "")
        if found:
            line = text.split("\n")[int(found[1]) - 1]
            problem += f"\n  {found[1]} | {line.strip()[:100]}"
        raise ConfigError(problem) from None
