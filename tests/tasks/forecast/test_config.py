"""What a config of a forecast refuses before any data is read."""

import pytest

from heedful.errors import ConfigError
from heedful.tasks.catalog import parse_config
from heedful.tasks.forecast.config import problem


@pytest.mark.parametrize(
    "tables, message",
    [
        ({}, None),
        ({"model": {"name": "linear"}}, None),
        ({"data": {"split": [700, 100, 0]}}, None),
        (
            {"data": {"split": [700, 100]}},
            "data.split must be rows of training, of dev and, maybe 0, of test, got [700, 100]",
        ),
        (
            {"data": {"split": [700, 0, 100]}},
            "data.split must be rows of training, of dev and, maybe 0, of test, got [700, 0, 100]",
        ),
        (
            {"data": {"name": "table", "file": "x.csv", "columns": ["oil", "gas", "oil"]}},
            "data.columns must name each column once, got oil, gas, oil",
        ),
        ({"model": {"patch": 97}}, "model.patch must be at most window.history, got 97 and 96"),
        ({"model": {"stride": 17}}, "model.stride must be at most model.patch, got 17 and 16"),
        ({"model": {"heads": 3}}, "model.heads must divide model.width, got 3 and 32"),
    ],
)
def test_sizes_must_fit(tables, message):
    assert problem(parse_config({"task": "forecast", **tables})) == message


def test_columns_may_be_numbers():
    data = {"name": "table", "file": "a.csv", "time": 1, "columns": [2, "b"]}
    found = parse_config({"task": "forecast", "data": data}).data
    assert (found.time, found.columns) == ("1", ("2", "b"))


@pytest.mark.parametrize(
    "tables, message",
    [
        ({"data": {"rows": 50}}, "data.rows must be"),
        ({"data": {"name": "table"}}, "data.file must be"),
        ({"data": {"split": [1, 2, 3, 4]}}, "data.split must"),
        ({"model": {"attention": "half"}}, "model.attention must be one of"),
    ],
)
def test_what_no_schema_takes_is_refused(tables, message):
    with pytest.raises(ConfigError, match=message):
        parse_config({"task": "forecast", **tables})
