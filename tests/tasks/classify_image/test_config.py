"""The config of an image classification: round trips, and sizes that do not fit."""

import pytest

from heedful.config.file import dump_toml
from heedful.config.problems import choices_of
from heedful.nn.mechanisms import MECHANISMS
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.tasks.classify_image.config import Config, Mechanism


def test_a_config_is_read_back_as_it_was_written(tmp_path):
    config = parse_config({"task": "classify-image", "model": {"name": "vit", "patch": 4}})
    for each in (Config(), config):
        (tmp_path / "c.toml").write_text(dump_toml(each))
        assert load_config(tmp_path / "c.toml") == each


def test_every_mechanism_is_there():
    assert {*choices_of(Mechanism)} == MECHANISMS.keys() - {"paged_decoding"}


IDX = {"name": "idx", "train": "a", "train_labels": "b"}


@pytest.mark.parametrize(
    "tables, message",
    [
        ({}, None),
        ({"model": {"heads": 3}}, "heads must divide width, got heads=3, width=16"),
        (
            {"model": {"attention": "se", "reduction": 5}},
            "model.reduction must divide model.width, got 5 and 16",
        ),
        ({"model": {"attention": "none", "reduction": 5}}, None),
        (
            {"model": {"name": "vit", "patch": 3}},
            "model.patch must divide the size of the images, got 3 and 8",
        ),
        (
            {"model": {"name": "vit"}, "data": {"name": "folder", "train": "a", "size": 31}},
            "model.patch must divide the size of the images, got 2 and 31",
        ),
        ({"model": {"name": "vit", "patch": 3}, "data": IDX}, None),
        (
            {"data": {**IDX, "test": "c"}},
            "data.test and data.test_labels must be given together, got 'c' and None",
        ),
    ],
)
def test_says_what_does_not_fit(tables, message):
    config = parse_config({"task": "classify-image", **tables})
    assert find_task("classify-image").problem(config) == message
