"""How a search may vary a setting: metadata of a field, as in `Annotated[Width, Fractions()]`.

A search never looks for anything wider than what is configured; `heedful tune --search` names
other values, also of fields without a hint.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from heedful.config.problems import choices_of

Value = str | int | float | bool
Values = tuple[Value, ...]
Found = Mapping[str, Values]  # what the settings above may be
H = TypeVar("H")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """All values of a `Literal`, or both of a `bool`."""


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """A quarter to all of a size, in multiples of 8.

    Args:
        of: The size beside it that a search may name multiples of, such as `2x`.
    """

    of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Multiples:
    """Once, twice, four times and as often as now the size of another setting, written `2x`.

    Args:
        of: That setting, of the same section.
    """

    of: str


@dataclass(frozen=True, kw_only=True)
class Powers:
    """Powers of two that divide another setting, and what it is now.

    Args:
        divide: That setting, of the same section.
        up_to: The largest, where it is less now.
    """

    divide: str
    up_to: int = 8


@dataclass(frozen=True, kw_only=True)
class Divisors:
    """All that divides any value of another setting; left out it is as much as that.

    Args:
        of: That setting, of the same section and above this one.
    """

    of: str


@dataclass(frozen=True, kw_only=True)
class LogUniform:
    """Any number around what it is now, on a logarithmic scale.

    Args:
        factor: How many times smaller or larger it may be.
    """

    factor: float = 3.0


Hint = Choices | Fractions | Multiples | Powers | Divisors | LogUniform


def hint_of(field: FieldInfo) -> Hint | None:
    """Return the hint of a field."""
    return next((each for each in field.metadata if isinstance(each, Hint)), None)


def multiple_of(field: FieldInfo) -> str | None:
    """Return the setting that `2x` would be twice of, where a field takes such a text."""
    hint = hint_of(field)
    return hint.of if isinstance(hint, Fractions | Multiples) else None


def values_of(name: str, section: Any, found: Found) -> Values:
    """Return what a search tries for a field, in order; nothing for a field without a list.

    Args:
        name: Of the field.
        section: With all settings as they are.
        found: What was returned for the fields above it.
    """
    field, now = type(section).model_fields[name], getattr(section, name)
    match hint_of(field):
        case Choices():
            return choices_of(field.annotation) or (False, True)
        case Fractions() if now is not None:
            return _fractions(now)
        case Multiples(of=of) if now is not None:
            return tuple(sorted({"1x", "2x", "4x", f"{now / getattr(section, of):g}x"}))
        case Powers(divide=divide, up_to=up_to) if now is not None:
            whole, most = getattr(section, divide), max(now, up_to)
            powers = [2**power for power in range(most.bit_length()) if 2**power <= most]
            return tuple(sorted({*(each for each in powers if whole % each == 0), now}))
        case Divisors(of=of):
            wholes = [int(each) for each in found.get(of, (getattr(section, of),))]
            return tuple(sorted({part for whole in wholes for part in _divisors(whole)}))
        case _:
            return ()


def range_of(name: str, section: Any) -> tuple[float, float] | None:
    """Return the ends between which a search looks, where a field has a hint of such."""
    hint, now = hint_of(type(section).model_fields[name]), getattr(section, name)
    if not isinstance(hint, LogUniform) or not now or not math.isfinite(now):
        return None
    return now / hint.factor, now * hint.factor


def _fractions(size: int) -> tuple[int, ...]:
    parts = {max(int(size * part / 8), 1) * 8 for part in (0.25, 0.375, 0.5, 0.75)}
    return tuple(sorted({*(part for part in parts if part < size), size}))


def _divisors(whole: int) -> list[int]:
    return [part for part in range(1, whole + 1) if whole % part == 0]
