"""The commented config that `heedful new` writes, made from the schema and its own comments."""

import inspect
import re
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from heedful.config.base import Section, TaskConfig, fields_in_order
from heedful.config.file import toml
from heedful.config.problems import choices_of, variants

_HEADER = """\
# heedful: {task}. Train with: heedful train FILE
# Every setting is here with its default; a line may be deleted and then keeps that default.
# A line that begins with "#key =" is a setting without a default: fill it in and remove the "#".
"""


def template(schema: type[TaskConfig]) -> str:
    """A TOML file with every setting of a task, its default, its choices and what it means."""
    fields = {key: schema.model_fields[key] for key in fields_in_order(schema)}
    lines = _HEADER.format(task=fields["task"].default).splitlines()
    lines += _table(schema, commented=False)
    for key, field in fields.items():
        tables = variants(field)
        # without a default the first one is shown, and what it needs is to be filled in
        default = field.default if isinstance(field.default, BaseModel) else None
        chosen = type(default) if default else next(iter(tables.values()), None)
        if chosen is not None:
            others = [name for name in tables if tables[name] is not chosen]
            lines += ["", *_head(chosen, key, others=others)]
            lines += _table(default or chosen, commented=False)
        for other in tables.values():
            if other is not chosen:
                lines += ["", "# instead:", *_head(other, key, mark="#")]
                lines += _table(other, commented=True)
    return "\n".join(lines) + "\n"


def _head(
    table: type[BaseModel], key: str, *, others: list[str] | None = None, mark: str = ""
) -> list[str]:
    doc = inspect.getdoc(table) or ""
    lines = [f"# {line}".rstrip() for line in doc.split("\n\n")[0].splitlines()]
    if others:
        lines.append(f"# Other names, each with its own settings: {', '.join(others)}; see below.")
    return [*lines, f"{mark}[{key}]"]


def _table(section: BaseModel | type[BaseModel], *, commented: bool) -> list[str]:
    """The lines of one table; commented ones show the defaults of a class without using it."""
    table = section if isinstance(section, type) else type(section)
    comments = field_comments(table)
    lines: list[str] = []
    for key in fields_in_order(table):
        field = table.model_fields[key]
        if variants(field):
            continue
        value = field.default if isinstance(section, type) else getattr(section, key)
        note = "; ".join(filter(None, (_choices(field), comments.get(key))))
        unset = value is None or value is PydanticUndefined
        shown = _placeholder(field) if unset else toml(value)
        line = f"{'#' if unset or commented else ''}{key} = {shown}"
        lines.append(f"{line}  # {note}" if note else line)
    return lines


def field_comments(table: type[BaseModel]) -> dict[str, str]:
    """What the comment behind each field says: the schema's source is the only place for it."""
    found: dict[str, str] = {}
    for section in reversed(table.__mro__):
        if issubclass(section, Section) and section is not Section:
            source = inspect.getsource(section)
            found |= re.findall(r"^    (\w+): [^#\n]*# (.+)$", source, re.MULTILINE)
    # TOML has no None: there a setting is left out
    return {key: re.sub(r"\bNone\b", "left out", comment) for key, comment in found.items()}


def _choices(field: FieldInfo) -> str:
    names = choices_of(field.annotation)
    return f"one of {', '.join(names)}" if len(names) > 1 else ""


def _placeholder(field: FieldInfo) -> str:
    kind: Any = str(field.annotation)
    for name, words in (("int", "<whole number>"), ("float", "<number>")):
        if name in kind:
            return words
    return '"<text>"'
