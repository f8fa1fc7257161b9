"""Words for what is wrong with a config: the key as typed, what must hold, what was got."""

import difflib
import json
import types
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_KINDS = {
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "string_type": 'a text in "quotes"',
    "string_unicode": "a text in Unicode",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def show(value: object) -> str:
    """A value as it would stand in the TOML file, shortened."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool | str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 60 else text[:57] + '..."'
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length():,} bits"
    return str(value)[:100]


def did_you_mean(got: object, choices: Iterable[str]) -> str:
    """`. Did you mean "heads"?`, or nothing when no choice is near."""
    near = difflib.get_close_matches(str(got), list(choices), n=1)
    return f". Did you mean {show(near[0])}?" if near else ""


def unknown_choice(name: str, choices: Iterable[str], got: object) -> str:
    """The sentence for a choice that does not exist; the valid ones stand nearest first."""
    return f"{name} must be {_one_of(choices, got)}, got {show(got)}{did_you_mean(got, choices)}"


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The texts that a `Literal` allows."""
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def variants(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The tables that may stand at a field, by their `name`; a plain table has the name ``""``."""
    union = get_origin(field.annotation) in (Union, types.UnionType)
    kinds = get_args(field.annotation) if union else (field.annotation,)
    tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    if field.discriminator is None:
        return {"": tables[0]} if tables else {}
    return {str(kind.model_fields["name"].default): kind for kind in tables}


def describe(
    error: ValidationError, root: type[BaseModel], *, overridden: Collection[str] = ()
) -> list[str]:
    """One sentence a problem, in the order of files of `root`; keys set by `--set` say so."""
    lines: list[str] = []
    for detail in sorted(error.errors(include_url=False), key=lambda each: _place(each, root)):
        key, section, field = _locate(detail["loc"], root)
        if detail["type"].startswith("union_tag"):
            key += ".name"
        name = f"{key} (--set)" if key in overridden else key
        lines.append(_sentence(name, detail, root, section=section, field=field))
    return lines


def _place(detail: ErrorDetails, root: type[BaseModel]) -> tuple[int, int]:
    """Where a file shows the table and its key; an unknown key comes last."""
    key, section, _ = _locate(detail["loc"], root)
    table, _, leaf = key.partition(".")
    return _position(table, root), _position(leaf, section) if leaf else -1


def _position(key: str, section: type[BaseModel]) -> int:
    first: tuple[str, ...] = getattr(section, "order", ())
    keys = [*first, *(name for name in section.model_fields if name not in first)]
    return keys.index(key) if key in keys else len(keys)


def _one_of(choices: Iterable[str], got: object) -> str:
    near = difflib.get_close_matches(str(got), list(choices), n=3)
    ordered = [*near, *(choice for choice in choices if choice not in near)]
    return ("one of " if len(ordered) > 1 else "") + ", ".join(map(show, ordered))


def _locate(
    location: tuple[int | str, ...], root: type[BaseModel]
) -> tuple[str, type[BaseModel], FieldInfo | None]:
    """The dotted key (without the variant's name that pydantic adds), its table, its field."""
    section = root
    field: FieldInfo | None = None
    keys: list[str] = []
    rest = [str(part) for part in location]
    while rest:
        keys.append(rest.pop(0))
        field = section.model_fields.get(keys[-1])
        if field is None or not rest:
            break
        tables = variants(field)
        if not tables:  # an entry of a list
            break
        section = tables[""] if "" in tables else tables[rest.pop(0)]
    return ".".join(keys), section, field


def _sentence(
    key: str,
    detail: ErrorDetails,
    root: type[BaseModel],
    *,
    section: type[BaseModel],
    field: FieldInfo | None,
) -> str:
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(key, str(detail["loc"][-1]), root, section=section)
    if kind == "literal_error" and field is not None:
        return unknown_choice(key, choices_of(field.annotation), got)
    if kind.startswith("union_tag") and field is not None:
        name = got.get("name", "") if isinstance(got, dict) else got
        return unknown_choice(key, variants(field), name)
    if kind == "missing":
        return f"{key} must be given, got nothing"
    if kind == "int_type" and isinstance(got, float) and got.is_integer():
        return f"{key} must be a whole number, got {got}. Did you mean {int(got)}?"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        limit = context[bound]
        limit = str(limit) if isinstance(limit, int) else f"{limit:g}"
        return f"{key} must be {words} {limit}, got {show(got)}"
    must = _KINDS.get(kind) or detail["msg"].removeprefix("Input should be ")
    return f"{key} must be {must}, got {show(got)}"


def _unknown_key(key: str, leaf: str, root: type[BaseModel], *, section: type[BaseModel]) -> str:
    renamed: Mapping[str, str] = getattr(section, "renamed", {})
    if leaf in renamed:
        return f"{key} must be called {renamed[leaf]} now, got {show(leaf)}"
    keys = list(section.model_fields)
    hint = _elsewhere(leaf, root, section) or did_you_mean(leaf, keys)
    return f"{key} must be a known key: {_one_of(keys, leaf)}, got {show(leaf)}{hint}"


def _elsewhere(leaf: str, root: type[BaseModel], section: type[BaseModel]) -> str:
    """A hint when another table has exactly this key."""
    for name, field in root.model_fields.items():
        tables = variants(field)
        owners = [variant for variant, table in tables.items() if leaf in table.model_fields]
        if section in tables.values() and owners:
            return f". It is a key of {name} with name = {' or '.join(map(show, owners))}."
        if section is root and owners:
            return f". Did you mean {show(f'{name}.{leaf}')}?"
    return ""
