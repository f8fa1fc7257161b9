"""The config of a speech classification: round trips, and sizes that do not fit."""

import pytest

from heedful.config.file import dump_toml
from heedful.data.load_sounds import FolderData, TableData
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.tasks.classify_speech.config import Config


@pytest.mark.parametrize(
    "data, want",
    [
        ({"name": "folder", "train": "a"}, FolderData(train="a")),
        (
            {"name": "table", "train": "a.csv", "speaker": "who"},
            TableData(train="a.csv", speaker="who"),
        ),
    ],
)
def test_a_config_is_read_back_as_it_was_written(tmp_path, data, want):
    config = parse_config({"task": "classify-speech", "data": data})
    assert config.data == want
    for each in (Config(), config):
        (tmp_path / "c.toml").write_text(dump_toml(each))
        assert load_config(tmp_path / "c.toml") == each


@pytest.mark.parametrize(
    "tables, message",
    [
        ({"model": {"width": 20, "heads": 3}}, "got model.heads = 3, model.width = 20"),
        ({"model": {"width": 20, "heads": 4}}, "model.heads must divide model.width into even"),
        ({"data": {"lines": ["moon"]}}, "data.lines must be some of desk"),
        ({"sound": {"bands": 200}}, "sound.bands must be so few that each has a frequency"),
    ],
)
def test_says_what_does_not_fit(tables, message):
    config = parse_config({"task": "classify-speech", **tables})
    assert message in find_task("classify-speech").problem(config)


def test_the_defaults_fit():
    assert find_task("classify-speech").problem(Config()) is None
