"""The config of a text classification: round trips, and sizes that do not fit."""

import re

import pytest

from heedful.config.file import dump_toml
from heedful.errors import ConfigError
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.tasks.classify_text.config import Config, TableData


def test_a_config_is_read_back_as_it_was_written(tmp_path):
    data = {"name": "table", "train": "a.tsv", "dev": "b.tsv", "text": 3, "label": "topic"}
    config = parse_config({"task": "classify-text", "data": data, "model": {"name": "cnn"}})
    assert config.data == TableData(train="a.tsv", dev="b.tsv", text="3", label="topic")
    for each in (Config(), config):
        (tmp_path / "c.toml").write_text(dump_toml(each))
        assert load_config(tmp_path / "c.toml") == each
    assert Config().train == parse_config({"task": "classify-text", "train": {"epochs": 6.0}}).train


@pytest.mark.parametrize(
    "model, message",
    [
        ({"width": 15, "heads": 4}, "heads must divide width, got heads=4, width=15"),
        (
            {"name": "transformer", "width": 15, "heads": 5},
            "width / heads must be even for rotary positions, got width=15, heads=5",
        ),
        (
            {"name": "lstm", "width": 15, "heads": 5},
            "width must be even for two directions, got 15",
        ),
        ({"name": "cnn", "kernel": 4}, "kernel must be odd, got 4"),
        ({"name": "lstm"}, None),
    ],
)
def test_says_which_sizes_do_not_fit(model, message):
    config = parse_config({"task": "classify-text", "model": model})
    assert find_task("classify-text").problem(config) == message


@pytest.mark.parametrize(
    "data, message",
    [
        ({"languages": "de"}, "data.languages must be"),
        ({"languages": ["de", 3]}, 'data.languages must be a text in "quotes", got 3'),
        ({"name": "table", "train": "a", "dev": "b", "text": True}, "data.text must be a text"),
    ],
)
def test_refuses_other_kinds_of_values(data, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({"task": "classify-text", "data": data})
