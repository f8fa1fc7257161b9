"""The space of a search from words like `heads=1,2,4` and `learning_rate=1e-3..1e-2`."""

import math
import tomllib
from collections.abc import Sequence

from heedful.config.base import TaskConfig
from heedful.config.file import parse_tables
from heedful.config.hints import Value
from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError
from heedful.tuning.space import (
    TIMES,
    Choice,
    Range,
    Space,
    relative_to,
    resolved,
    searched_keys,
)

MOST_VALUES = 1_000


def parse_space(texts: Sequence[str], config: TaskConfig) -> Space:
    """Read what to search; all else stays as configured.

    A list names each value; `2x` for some sizes, such as `feedforward`, means twice the width. Two
    ends, `low..high`, stand for every whole number between them or, where the setting takes
    fractions, for all numbers between them.

    Args:
        texts: Like `heads=1,2,4`, of the first section that has it, from the model on; a key may
            also be written out, as in `model.heads=1,2,4`.
        config: What is searched around.

    Raises:
        ConfigError: A text does not look like that, names a setting twice or one that cannot be
            searched, or holds a value that the setting cannot have.
    """
    found: dict[str, Choice | Range] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise ConfigError(f"search must look like heads=1,2,4, got {text!r}")
        key = _key(name, config)
        if key in found:
            raise ConfigError(f"search must name a setting once, got {key} again in {text!r}")
        found[key] = _range(key, values, config) if ".." in values else _list(key, values, config)
    return Space(
        choices=tuple(one for one in found.values() if isinstance(one, Choice)),
        ranges=tuple(one for one in found.values() if isinstance(one, Range)),
    )


def _key(name: str, config: TaskConfig) -> str:
    keys = list(searched_keys(config))
    for key in keys:
        if name in (key, key.partition(".")[2]):
            return key
    short = [key.partition(".")[2] for key in keys]
    raise ConfigError(unknown_choice("search", keys if "." in name else short, name))


def _list(key: str, text: str, config: TaskConfig) -> Choice:
    values = tuple(dict.fromkeys(_value(word.strip()) for word in text.split(",")))
    for value in values:
        _check(key, value, config)
    return Choice(key=key, values=values)


def _range(key: str, text: str, config: TaskConfig) -> Choice | Range:
    ends = [_value(word.strip()) for word in text.split("..", 1)]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or numbers[0] >= numbers[1]:
        raise ConfigError(
            f"search must have a lower and a higher number around .., got {key}={text}"
        )
    low, high = numbers
    for end in (low, high):
        _check(key, end, config)
    if _takes_fractions(key, float(low), float(high), config):
        return Range(key=key, low=float(low), high=float(high))
    if high - low >= MOST_VALUES:
        raise ConfigError(
            f"search must have at most {MOST_VALUES:,} values a setting, got {key}={text}"
        )
    return Choice(key=key, values=tuple(range(int(low), int(high) + 1)))


def _takes_fractions(key: str, low: float, high: float, config: TaskConfig) -> bool:
    inside = low + (high - low) / math.pi  # between whole numbers, and never one itself
    try:
        _check(key, inside, config)
    except ConfigError:
        return False
    return True


def _check(key: str, value: Value, config: TaskConfig) -> None:
    """Let the schema judge one value.

    Raises:
        ConfigError: The setting cannot have it.
    """
    if isinstance(value, str) and TIMES.fullmatch(value) and relative_to(config, key) is not None:
        return
    parse_tables(resolved(config, {key: value}), type(config), name="search")


def _value(text: str) -> Value:
    try:
        parsed = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return parsed if isinstance(parsed, str | int | float | bool) else text
