import re
from typing import Annotated, Literal

import pytest

from heedful.config.base import Section
from heedful.config.hints import (
    Choices,
    Divisors,
    Fractions,
    LogUniform,
    Multiples,
    Powers,
    hint_of,
    multiple_of,
    range_of,
    values_of,
)


class Model(Section):
    width: Annotated[int, Fractions()] = 24
    hidden: Annotated[int, Fractions(of="width")] = 4
    heads: Annotated[int, Powers(divide="width")] = 3
    few: Annotated[int, Powers(divide="width", up_to=2)] = 1
    groups: Annotated[int | None, Divisors(of="heads")] = None
    alone: Annotated[int | None, Divisors(of="plain")] = None
    inner: Annotated[int, Multiples(of="width")] = 36
    kind: Annotated[Literal["a", "b"], Choices()] = "b"
    flag: Annotated[bool, Choices()] = True
    rate: Annotated[float, LogUniform(factor=2)] = 0.5
    off: Annotated[float, LogUniform()] = 0.0
    unset: Annotated[int | None, Fractions()] = None
    plain: int = 6


MODEL = Model()
FOUND = {"heads": (1, 2, 3, 4, 8)}


@pytest.mark.parametrize(
    "name, values",
    [
        ("width", (8, 16, 24)),
        ("hidden", (4,)),
        ("heads", (1, 2, 3, 4, 8)),
        ("few", (1, 2)),
        ("groups", (1, 2, 3, 4, 8)),
        ("alone", (1, 2, 3, 6)),
        ("inner", ("1.5x", "1x", "2x", "4x")),
        ("kind", ("a", "b")),
        ("flag", (False, True)),
        ("rate", ()),
        ("unset", ()),
        ("plain", ()),
    ],
)
def test_a_hint_says_which_values_are_tried(name, values):
    assert values_of(name, MODEL, FOUND) == values


def test_a_hint_says_between_which_ends():
    assert range_of("rate", MODEL) == (0.25, 1.0)
    assert [range_of(name, MODEL) for name in ("off", "plain", "width")] == [None, None, None]


def test_multiples_are_of_the_setting_that_the_hint_names():
    fields = Model.model_fields
    assert {name for name in fields if multiple_of(fields[name]) == "width"} == {"hidden", "inner"}
    assert hint_of(fields["plain"]) is None


def test_hints_change_nothing_of_what_is_allowed():
    with pytest.raises(Exception, match=re.escape('kind must be one of "a", "b", got "c"')):
        Model(kind="c")
