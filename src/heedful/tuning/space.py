"""Where a search looks: settings with the values they may have, and which of them go together."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.config.base import dump
from heedful.config.problems import choices_of
from heedful.errors import ConfigError
from heedful.tasks.translation_config import Config, RnnModel, Train, TransformerModel
from heedful.tasks.validity import problem

Value = str | int | float | bool
Settings = dict[str, Value]

MOST_COMBINATIONS = 50_000
RELATIVE = ("model.feedforward", "model.hidden")  # "2x": twice the width
TIMES = re.compile(r"(\d+(?:\.\d+)?)x")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting and the values that it may have.

    Args:
        key: As in `--set`, e.g. `model.heads`.
        values: At least one; `2x` for a size means twice the width.
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


def default_space(config: Config) -> Space:
    """Return what is worth searching around a config: never wider than it, layers as they are."""
    learning_rate = config.train.learning_rate
    ranges = (Range(key="train.learning_rate", low=learning_rate / 3, high=learning_rate * 3),)
    choices = _rnn(config.model) if isinstance(config.model, RnnModel) else _sizes(config.model)
    return Space(
        choices=tuple(Choice(key=f"model.{key}", values=values) for key, values in choices.items()),
        ranges=ranges,
    )


def _sizes(model: TransformerModel) -> dict[str, tuple[Value, ...]]:
    heads = [count for count in _powers(max(model.heads, 8)) if model.width % count == 0]
    heads = sorted({*heads, model.heads})
    shared = {n for count in heads for n in range(1, count + 1) if count % n == 0}
    own = f"{model.feedforward / model.width:g}x"
    return {
        "width": _widths(model.width),
        "heads": tuple(heads),
        "kv_heads": tuple(sorted(shared)),
        "feedforward": tuple(sorted({"1x", "2x", "4x", own})),
        "positions": choices_of(TransformerModel.model_fields["positions"].annotation),
    }


def _rnn(model: RnnModel) -> dict[str, tuple[Value, ...]]:
    return {
        "width": _widths(model.width),
        "hidden": _widths(model.hidden),
        "attention": choices_of(RnnModel.model_fields["attention"].annotation),
    }


def _widths(width: int) -> tuple[int, ...]:
    """A quarter to all of a width, in multiples of 8."""
    parts = {max(int(width * part / 8), 1) * 8 for part in (0.25, 0.375, 0.5, 0.75)}
    return tuple(sorted({*(part for part in parts if part < width), width}))


def _powers(most: int) -> list[int]:
    return [2**power for power in range(most.bit_length()) if 2**power <= most]


def resolved(config: Config, settings: Mapping[str, Value]) -> dict[str, Any]:
    """Return a config as plain tables, with some settings replaced."""
    tables = dump(config)
    for key, value in settings.items():
        section, _, leaf = key.partition(".")
        tables[section][leaf] = value
    width = tables["model"]["width"]
    for key in RELATIVE:
        value = tables["model"].get(key.removeprefix("model."))
        if isinstance(value, str) and (found := TIMES.fullmatch(value)):
            tables["model"][key.removeprefix("model.")] = max(round(float(found[1]) * width), 1)
    return tables


def applied(config: Config, settings: Mapping[str, Value]) -> Config:
    """Return a config with some settings replaced."""
    return Config.model_validate(resolved(config, settings), strict=True)


def combinations(space: Space, config: Config) -> list[Settings]:
    """Return every combination of the choices that makes a model, in order.

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
    valid: list[Settings] = []
    for values in itertools.product(*(choice.values for choice in space.choices)):
        settings = dict(zip(keys, values, strict=True))
        found = problem(resolved(config, settings)["model"])
        if found is None:
            valid.append(settings)
        wrong = wrong or found or ""
    if not valid:
        raise ConfigError(f"search must hold a combination that makes a model, got none: {wrong}")
    return valid


def own_settings(config: Config, space: Space, valid: Sequence[Settings]) -> Settings | None:
    """Return what a config itself has in a space; `None` where it lies outside."""
    tables = _explicit(dump(config))
    ranges: Settings = {}
    for one in space.ranges:
        section, _, leaf = one.key.partition(".")
        value = float(tables[section].get(leaf, math.nan))
        if not one.low <= value <= one.high:
            return None
        ranges[one.key] = value
    for settings in valid:
        if _explicit(resolved(config, settings)) == tables:
            return settings | ranges
    return None


def _explicit(tables: dict[str, Any]) -> dict[str, Any]:
    if tables["model"]["name"] == "transformer":
        tables["model"].setdefault("kv_heads", tables["model"]["heads"])
    return tables


def searched_keys(config: Config) -> Iterator[str]:
    """Yield all keys that may be searched: sizes and kinds of the model, and how it is trained."""
    for section, table in (("model", type(config.model)), ("train", Train)):
        yield from (f"{section}.{leaf}" for leaf in table.model_fields if leaf != "name")
