"""Settings of a recommendation that cannot be used together are refused before data is read."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.recommend.config import Config, TableData, problem


def config(**tables):
    return parse_config({"task": "recommend", **tables})


def test_what_is_built_in_can_be_used():
    assert problem(Config()) is None
    assert problem(config(model={"name": "din"})) is None


def test_an_empty_column_of_times_is_none():
    assert TableData(file="x.csv").time == "time"
    assert TableData(file="x.csv", time="").time is None
    assert config(data={"name": "table", "file": "x.csv", "user": 2}).data.user == "2"


@pytest.mark.parametrize(
    "tables, words",
    [
        ({"model": {"width": 8, "heads": 3}}, "heads must divide width, got heads=3, width=8"),
        (
            {"model": {"width": 6, "heads": 2, "positions": "rotary"}},
            "width / heads must be even for rotary positions, got width=6, heads=2",
        ),
        ({"data": {"series": 3, "followed": 4}}, "data.followed must be at most data.series"),
        (
            {"data": {"name": "table", "file": "x", "split": "random", "repeats": True}},
            "data.repeats must be false where data.split is random, got true",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(tables, words):
    assert str(problem(config(**tables))).startswith(words)
