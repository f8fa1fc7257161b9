"""Settings of a description that cannot be used are named before anything is read."""

import re

import pytest

from heedful.config.file import dump_toml
from heedful.tasks.catalog import load_config, parse_config
from heedful.tasks.describe.config import image_shape, problem


def config(**tables):
    return parse_config({"task": "describe", **tables})


@pytest.mark.parametrize(
    "model, message",
    [
        ({"heads": 3}, "a multiple of model.heads, got 64 and 3"),
        ({"width": 5, "heads": 5}, "model.width must be even and a multiple of model.heads, got 5"),
        ({"patch": 7}, "model.patch must divide the 48 pixels of a side, got 7"),
        ({"patch": 3}, "model.patch must be a power of two above 1 with cnn, got 3"),
        ({"patch": 1}, "model.patch must be a power of two above 1 with cnn, got 1"),
    ],
)
def test_sizes_that_do_not_fit_are_named(model, message):
    assert message in str(problem(config(model=model)))


def test_what_fits_has_no_problem():
    assert problem(config()) is None
    assert problem(config(model={"encoder": "patches", "patch": 3})) is None


def test_images_of_a_table_are_as_large_as_configured():
    table = {"name": "table", "train": "a.csv", "dev": "b.csv"}
    assert image_shape(config().data) == (48, 3)
    assert image_shape(config(data=table).data) == (64, 3)
    assert image_shape(config(data={**table, "size": 32, "colour": False}).data) == (32, 1)


def test_columns_may_be_numbers(tmp_path):
    table = {"name": "table", "train": "a.csv", "dev": "b.csv", "path": 2, "caption": 1}
    made = config(data=table)
    assert (made.data.path, made.data.caption) == ("2", "1")
    (tmp_path / "c.toml").write_text(dump_toml(made), encoding="utf-8")
    assert load_config(tmp_path / "c.toml") == made
    assert re.search("path", dump_toml(made))
