"""Problems in words: what must hold, what was got, and the nearest valid word."""

from typing import ClassVar, Literal

import pytest
from pydantic import ValidationError

from heedful.config.base import Count, Section, TaskConfig, Train
from heedful.config.problems import (
    choices_of,
    describe,
    did_you_mean,
    show,
    unknown_choice,
    variants,
)


class Model(Section):
    """A network."""

    order = ("layers", "width")
    width: Count = 3
    kind: Literal["deep", "wide"] = "deep"
    layers: Count = 2
    renamed: ClassVar = {"size": "width"}


class Own(TaskConfig):
    """One training."""

    order = ("task", "seed", "model")
    task: Literal["own"] = "own"
    model: Model = Model()
    train: Train = Train(steps=5)


@pytest.mark.parametrize(
    "value, shown",
    [
        ({"a": 1}, "a table"),
        ([1], "a list"),
        (True, "true"),
        ("中\n", '"中\\n"'),
        ("x" * 90, f'"{"x" * 56}..."'),
        (1.5, "1.5"),
        (2**201, "a whole number of 202 bits"),
        (-3, "-3"),
    ],
)
def test_values_are_shown_as_a_file_would_hold_them(value, shown):
    assert show(value) == shown


def test_the_nearest_choice_stands_first_and_is_suggested():
    assert did_you_mean("widht", ["heads", "width"]) == '. Did you mean "width"?'
    assert did_you_mean("zzz", ["heads", "width"]) == ""
    assert unknown_choice("a", ["heads", "width"], "widht") == (
        'a must be one of "width", "heads", got "widht". Did you mean "width"?'
    )
    assert unknown_choice("a", ["own"], 3) == 'a must be "own", got 3'


def test_choices_are_those_of_a_literal_alone():
    assert choices_of(Literal["a", "b"]) == ("a", "b")
    assert choices_of(int) == choices_of(str | None) == ()
    assert variants(Own.model_fields["model"]) == {"": Model}
    assert variants(Own.model_fields["seed"]) == {}


def test_problems_come_in_the_order_of_files_with_unknown_keys_last():
    tables = {
        "train": {"stepz": 3, "steps": "x"},
        "model": {"widht": 4, "width": 0, "layers": 0, "kind": "long"},
        "seed": -1,
        "modle": {},
    }
    with pytest.raises(ValidationError) as caught:
        Own.model_validate(tables, strict=True)
    lines = describe(caught.value, Own, overridden={"model.width"})
    assert [line.split(" must ")[0] for line in lines] == [
        *("seed", "model.layers", "model.width (--set)", "model.kind", "model.widht"),
        *("train.steps", "train.stepz", "modle"),
    ]
    assert lines[-1].endswith('got "modle". Did you mean "model"?')


def test_an_old_name_is_answered_with_the_new_one():
    with pytest.raises(ValidationError) as caught:
        Own.model_validate({"model": {"size": 4}}, strict=True)
    assert describe(caught.value, Own, overridden={"model.size"}) == [
        'model.size (--set) must be called width now, got "size"'
    ]
