"""The config of a video classification: round trips, and sizes that do not fit."""

import pytest

from heedful.config.file import dump_toml
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.tasks.classify_video.config import Config


def test_a_config_is_read_back_as_it_was_written(tmp_path):
    data = {"name": "folder", "train": "a"}
    config = parse_config({"task": "classify-video", "data": data, "model": {"time": "mean"}})
    for each in (Config(), config):
        (tmp_path / "c.toml").write_text(dump_toml(each))
        assert load_config(tmp_path / "c.toml") == each


NPZ = {"name": "npz", "train": "a.npz"}


@pytest.mark.parametrize(
    "tables, message",
    [
        ({}, None),
        ({"model": {"heads": 3}}, "heads must divide width, got heads=3, width=32"),
        ({"model": {"patch": 8}}, "model.patch must divide the size of the frames, got 8 and 20"),
        ({"model": {"patch": 8}, "data": NPZ}, None),
        (
            {"data": {"examples": 600}},
            "data.dev and data.test must leave a video to learn from, got 600 and 600 of 600",
        ),
    ],
)
def test_says_what_does_not_fit(tables, message):
    config = parse_config({"task": "classify-video", **tables})
    assert find_task("classify-video").problem(config) == message
