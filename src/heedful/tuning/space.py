"""Where a search looks: settings with the values they may have, and which of them go together."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from heedful.config.base import Section, TaskConfig, dump
from heedful.config.hints import Divisors, Value, hint_of, multiple_of, range_of, values_of
from heedful.config.problems import describe
from heedful.errors import ConfigError
from heedful.tasks.catalog import AnyTask

Params = dict[str, Value]  # what was chosen, by key
SomeConfig = TypeVar("SomeConfig", bound=TaskConfig)

MOST_COMBINATIONS = 50_000
DATA = "data"  # the section that stays: scores of other data are others
TIMES = re.compile(r"(\d+(?:\.\d+)?)x")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting and the values that it may have.

    Args:
        key: As in `--set`, e.g. `model.heads`.
        values: At least one; `2x` for some sizes means twice another one.
    """

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A setting that may have any value between two; on a logarithmic scale above 0.

    Args:
        key: As in `--set`, e.g. `train.learning_rate`.
        low: The least.
        high: The most.
    """

    key: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Space:
    """All that a search may change.

    Args:
        choices: Settings with a list of values.
        ranges: Settings with two ends.
    """

    choices: tuple[Choice, ...] = ()
    ranges: tuple[Range, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data: lists of values, and pairs of ends in a table."""
        ends = {one.key: {"low": one.low, "high": one.high} for one in self.ranges}
        return {one.key: list(one.values) for one in self.choices} | ends


def default_space(config: TaskConfig) -> Space:
    """Return what is worth searching around a config, as the hints of its fields say.

    Args:
        config: Of any task.
    """
    choices: list[Choice] = []
    ranges: list[Range] = []
    for name, section in sections(config).items():
        found: dict[str, tuple[Value, ...]] = {}
        for leaf in type(section).model_fields:
            ends = range_of(leaf, section)
            if ends is not None:
                ranges.append(Range(key=f"{name}.{leaf}", low=ends[0], high=ends[1]))
            values = values_of(leaf, section, found)
            if values:
                found[leaf] = values
                choices.append(Choice(key=f"{name}.{leaf}", values=values))
    return Space(choices=tuple(choices), ranges=tuple(ranges))


def sections(config: TaskConfig) -> dict[str, Section]:
    """Return the tables of a config whose settings may be searched: all but the data."""
    tables = {name: getattr(config, name) for name in type(config).model_fields}
    return {
        name: table for name, table in tables.items() if isinstance(table, Section) and name != DATA
    }


def searched_keys(config: TaskConfig) -> Iterator[str]:
    """Yield all keys that may be searched: first those of the model and of how it is trained."""
    tables = sections(config)
    for section in sorted(tables, key=lambda name: (name != "model", name != "train")):
        leaves = type(tables[section]).model_fields
        yield from (f"{section}.{leaf}" for leaf in leaves if leaf != "name")


def relative_to(config: TaskConfig, key: str) -> str | None:
    """Return the setting beside a key that `2x` would be twice of; `None` where it takes none."""
    section, _, leaf = key.partition(".")
    field = type(getattr(config, section)).model_fields.get(leaf)
    return None if field is None else multiple_of(field)


def resolved(config: TaskConfig, params: Mapping[str, Value]) -> dict[str, Any]:
    """Return a config as plain tables, with some settings replaced."""
    tables = dump(config)
    for key, value in params.items():
        section, _, leaf = key.partition(".")
        tables[section][leaf] = value
    for key, value in params.items():  # when what they are multiples of is in its place
        found = TIMES.fullmatch(value) if isinstance(value, str) else None
        of = relative_to(config, key)
        if found and of is not None:
            section, _, leaf = key.partition(".")
            tables[section][leaf] = max(round(float(found[1]) * tables[section][of]), 1)
    return tables


def applied(config: SomeConfig, params: Mapping[str, Value]) -> SomeConfig:
    """Return a config with some settings replaced.

    Raises:
        ConfigError: The schema does not allow them.
    """
    schema = type(config)
    try:
        return schema.model_validate(resolved(config, params), strict=True)
    except ValidationError as error:
        raise ConfigError("; ".join(describe(error, schema))) from None


def combinations(space: Space, config: TaskConfig, task: AnyTask) -> list[Params]:
    """Return every combination of the choices that makes a model, in order.

    Args:
        space: Where to look.
        config: What is searched around.
        task: Of the config; it says which settings do not go together.

    Raises:
        ConfigError: There is none, or there are too many to list.
    """
    count = math.prod(len(choice.values) for choice in space.choices)
    if count > MOST_COMBINATIONS:
        raise ConfigError(
            f"search must be over at most {MOST_COMBINATIONS:,} combinations, got {count:,}"
        )
    keys = [choice.key for choice in space.choices]
    wrong = ""
    valid: list[Params] = []
    for values in itertools.product(*(choice.values for choice in space.choices)):
        params = dict(zip(keys, values, strict=True))
        found = _problem(config, params, task)
        if found is None:
            valid.append(params)
        wrong = wrong or found or ""
    if not valid:
        raise ConfigError(f"search must hold a combination that makes a model, got none: {wrong}")
    return valid


def _problem(config: TaskConfig, params: Params, task: AnyTask) -> str | None:
    try:
        return task.problem(applied(config, params))
    except ConfigError as error:
        return str(error)


def own_params(config: TaskConfig, space: Space, valid: Sequence[Params]) -> Params | None:
    """Return what a config itself has in a space; `None` where it lies outside."""
    tables = _explicit(config, dump(config))
    ranges: Params = {}
    for one in space.ranges:
        section, _, leaf = one.key.partition(".")
        value = tables[section].get(leaf)
        if not isinstance(value, int | float) or not one.low <= value <= one.high:
            return None
        ranges[one.key] = float(value)
    for params in valid:
        if _explicit(config, resolved(config, params)) == tables:
            return params | ranges
    return None


def _explicit(config: TaskConfig, tables: dict[str, Any]) -> dict[str, Any]:
    """Fill in what is left out where that means as much as another setting."""
    for name, section in sections(config).items():
        for leaf, field in type(section).model_fields.items():
            hint = hint_of(field)
            if isinstance(hint, Divisors):
                table = cast(dict[str, Any], tables[name])
                table.setdefault(leaf, table.get(hint.of))
    return tables
