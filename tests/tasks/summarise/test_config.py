"""The config of a summary refuses what makes no training."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.summarise.config import problem


def config(**tables):
    return parse_config({"task": "summarise", **tables})


def test_the_defaults_are_no_problem():
    assert problem(config()) is None
    assert problem(config(model={"name": "rnn", "width": 7})) is None
    assert config(data={"name": "table", "train": "a", "dev": "b", "text": 3}).data.text == "3"


@pytest.mark.parametrize(
    "tables, message",
    [
        (
            {"data": {"dev_share": 0.4, "test_share": 0.6}},
            "data.dev_share and data.test_share must leave something to learn, got 0.4 and 0.6",
        ),
        (
            {"data": {"name": "table", "train": "a", "dev": "a", "text": "b", "summary": "b"}},
            "data.summary must be another column than data.text, got 'b' for both",
        ),
        (
            {"model": {"width": 12, "heads": 4}},
            "heads must divide width into even parts, got heads=4, width=12",
        ),
    ],
)
def test_what_does_not_fit_is_told(tables, message):
    assert problem(config(**tables)) == message
