"""The config of a speech recognition: round trips, and settings that do not fit."""

import pytest

from heedful.config.file import dump_toml
from heedful.data.load_sounds import NumbersData, TextsData
from heedful.errors import ConfigError
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.tasks.recognise_speech.config import Config


def test_a_config_is_read_back_as_it_was_written(tmp_path):
    data = {"name": "table", "train": "a.csv", "text": "said"}
    config = parse_config({"task": "recognise-speech", "data": data})
    assert config.data == TextsData(train="a.csv", text="said")
    assert Config().data == NumbersData()
    for each in (Config(), config):
        (tmp_path / "c.toml").write_text(dump_toml(each))
        assert load_config(tmp_path / "c.toml") == each


@pytest.mark.parametrize(
    "tables, message",
    [
        ({"model": {"width": 20, "heads": 3}}, "got model.heads = 3, model.width = 20"),
        ({"data": {"fewest": 9}}, "data.fewest must be at most data.most, got 9 and 7"),
        ({"sound": {"bands": 200}}, "sound.bands must be so few that each has a frequency"),
        (
            {"train": {"ctc_weight": 0}},
            "train.ctc_weight must leave something for what decode.by names, got "
            "train.ctc_weight = 0, decode.by = 'ctc'",
        ),
        (
            {"train": {"ctc_weight": 1}, "decode": {"by": "attention"}},
            "got train.ctc_weight = 1, decode.by = 'attention'",
        ),
    ],
)
def test_says_what_does_not_fit(tables, message):
    config = parse_config({"task": "recognise-speech", **tables})
    assert message in find_task("recognise-speech").problem(config)


def test_something_is_taken_out_of_the_training_files():
    data = {"name": "table", "train": "a.csv", "dev_share": 0}
    with pytest.raises(ConfigError, match=r"data\.dev_share must be greater than 0"):
        parse_config({"task": "recognise-speech", "data": data})


def test_the_defaults_fit():
    assert find_task("recognise-speech").problem(Config()) is None
