"""Settings of a fusion that cannot be used are named before anything is read."""

import pytest

from heedful.tasks.catalog import parse_config
from heedful.tasks.fuse.config import image_shape, problem

TABLE = {"name": "table", "train": "a.csv", "dev": "b.csv"}


@pytest.mark.parametrize(
    "tables, message",
    [
        ({"model": {"heads": 5}}, "a multiple of model.heads, got 48 and 5"),
        ({"model": {"width": 9, "heads": 3}}, "model.width must be even and a multiple of model"),
        ({"model": {"modalities": ["smell"]}}, "some of image, sound, text, got 'smell'"),
        ({"model": {"modalities": []}}, "some of image, sound, text, got none"),
        ({"model": {"patch": 3}}, "above 1 that divides the 8 pixels of a side, got 3"),
        ({"model": {"patch": 1}}, "above 1 that divides the 8 pixels of a side, got 1"),
        ({"model": {"patch": 16}}, "above 1 that divides the 8 pixels of a side, got 16"),
        ({"data": {"lines": ["moon"]}}, "data.lines must be some of desk, .*, got 'moon'"),
        ({"data": {"lines": []}}, "data.lines must be some of desk, .*, got none"),
        (
            {"data": {**TABLE, "text": ""}, "model": {"modalities": ["text"]}},
            "data must name a column for one of text, got none",
        ),
        ({"sound": {"bands": 200}}, "sound.bands must be so few that each has a frequency"),
    ],
)
def test_what_does_not_fit_is_named(tables, message):
    import re

    found = str(problem(parse_config({"task": "fuse", **tables})))
    assert re.search(re.escape(message).replace(r"\.\*", ".*"), found)


def test_what_fits_has_no_problem():
    for data in ({}, TABLE, {**TABLE, "sound": "", "text": ""}):
        assert problem(parse_config({"task": "fuse", "data": data})) is None


def test_images_of_a_table_are_as_large_as_configured():
    shapes = [
        image_shape(parse_config({"task": "fuse", "data": data}).data)
        for data in ({}, TABLE, {**TABLE, "colour": False, "size": 16})
    ]
    assert shapes == [(8, 1), (32, 3), (16, 1)]
