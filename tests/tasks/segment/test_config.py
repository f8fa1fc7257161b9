"""Settings of a segmentation that do not fit together are said before anything is read."""

import re

import pytest

from heedful.errors import ConfigError
from heedful.tasks.catalog import parse_config
from heedful.tasks.segment.config import Config, problem

NPZ = {"name": "npz", "train": "cells.npz"}
REFUSED = {
    "model.width must be a multiple of 4, got 6": {"model": {"width": 6}},
    "must divide the 128 channels of the smallest size, got 3": {"model": {"heads": 3}},
    "got 30 with dev = 10 and test = 20": {"data": {"examples": 30, "dev": 10, "test": 20}},
    "must be below 1, got 0.6 + 0.4": {"data": {**NPZ, "dev_share": 0.6, "test_share": 0.4}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_a_problem(message):
    config = parse_config({"task": "segment", **REFUSED[message]})
    assert message in problem(config)


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"data": NPZ},
        {"data": {**NPZ, "dev_share": 0.9, "test": "test.npz"}},
        {"model": {"attention_layers": 0, "heads": 3}},
    ],
)
def test_what_fits_is_none(tables):
    assert problem(parse_config({"task": "segment", **tables})) is None


def test_bounds_are_said():
    with pytest.raises(ConfigError, match=re.escape("data.classes")):
        parse_config({"task": "segment", "data": {**NPZ, "classes": 1}})
    assert Config().data.name == "shapes"
