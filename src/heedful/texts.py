"""Text that somebody else may have written, as plain data: JSON and TOML."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, cast

from heedful.errors import RunError

Kind = TypeVar("Kind")


def parse_json(content: bytes, path: Path) -> Any:
    """Turn what `path` holds into plain data.

    Raises:
        RunError: It is no JSON, or nested deeper than anybody nests.
    """
    try:
        return json.loads(content)
    except ValueError as error:
        raise RunError(f"{path} must be whole, got damaged JSON: {error}") from None
    except RecursionError:
        raise RunError(f"{path} must be whole, got JSON that is nested too deep") from None


def json_of(value: Any, *, indent: int | None = None) -> str:
    """Write plain data as JSON that every reader takes: what is no finite number is null.

    Args:
        value: Of dicts, lists, texts, numbers and truth values.
        indent: Spaces for each level, on lines of their own; `None` means one line.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:  # JSON has no word for NaN and infinity, though Python writes one
        return json.dumps(finite(value), ensure_ascii=False, indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """Return plain data that JSON can hold: what is no finite number is `None`."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in cast(dict[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in cast(list[Any], value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_float(number: float) -> float:
    """Return a number of JSON or TOML as a float: a whole one beyond all floats is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def parse_json_as(kind: type[Kind], content: bytes, path: Path) -> Kind:
    """Turn what `path` holds into an object of a type, of which nothing is guessed or rounded.

    Args:
        kind: A dataclass, or any other type with annotations, whose JSON it is.
        content: Of the file.
        path: Of it, for messages.

    Raises:
        RunError: It is no JSON, or that of something else.
    """
    from pydantic import TypeAdapter, ValidationError

    plain = parse_json(content, path)
    try:
        if isinstance(plain, dict):
            names = getattr(kind, "__dataclass_fields__", plain)
            strange = sorted(set(cast(dict[str, Any], plain)) - set(names))
            if strange:
                raise RunError(f"{path} must be whole, got {strange[0]!r:.40}, which is not known")
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        got = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
        raise RunError(f"{path} must be whole, got: {got:.120}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML that somebody else may have written: `tomllib` may take hours, or fall over.

    Raises:
        ValueError: It is no TOML (`tomllib.TOMLDecodeError` says where), or nested without end.
    """
    if re.search(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){64}""", text):
        raise ValueError("a key of more than 64 parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("brackets without end") from None


def as_toml(value: object) -> str:
    """Write a number, a text, a truth value, or a list or tuple of them, as TOML."""
    # TOML knows neither the pairs of escapes that JSON may write nor an unescaped DEL
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)  # pyright: ignore[reportUnknownArgumentType]
    return text.replace("\x7f", "\\u007f")
