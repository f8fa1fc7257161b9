"""Settings of a detection that do not fit together are said before anything is read."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.detect.config import problem

TABLE = {"name": "table", "train": "boxes.csv"}
REFUSED = {
    "got model.stride = 6, model.width = 64": {"model": {"stride": 6}},
    "got model.stride = 4, model.width = 40": {"model": {"width": 40}},
    "model.heads must divide model.width, got model.heads = 3": {"model": {"heads": 3}},
    "must be below 1, got 0.6 + 0.4": {"data": {**TABLE, "dev_share": 0.6, "test_share": 0.4}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_a_problem(message):
    assert message in problem(parse_config({"task": "detect", **REFUSED[message]}))


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"data": TABLE},
        {"data": {"name": "masks", "train": "a.npz", "dev_share": 0.9, "test": "b.npz"}},
        {"model": {"encoder_layers": 0, "decoder_layers": 0, "every": 1}},
    ],
)
def test_what_fits_is_none(tables):
    assert problem(parse_config({"task": "detect", **tables})) is None
