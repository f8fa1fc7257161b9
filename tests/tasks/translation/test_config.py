"""The config of a translation: its defaults, its kinds of networks, and the order of its file."""

import pytest

from heedful.config.base import fields_in_order
from heedful.errors import ConfigError
from heedful.tasks.translation.config import (
    Config,
    Decode,
    RnnModel,
    Tokens,
    Train,
    TransformerModel,
)


def test_files_show_settings_in_the_order_of_old_runs():
    """Their hash is that of the file; see the fixtures of `training`."""
    assert fields_in_order(Config) == [
        *("task", "seed", "output", "data", "tokens", "model", "train", "decode")
    ]
    assert fields_in_order(Train) == [
        *("steps", "epochs", "minutes", "tokens_per_batch", "learning_rate", "warmup"),
        *("weight_decay", "loss", "label_smoothing", "clip", "accumulate", "strategy", "precision"),
        *("compile", "evaluate_every", "checkpoint_seconds", "patience", "tensorboard", "watch"),
    ]


def test_only_the_search_of_a_default_config_is_no_part_of_training():
    config = Config()
    assert config.decode == Decode(beam=1)
    assert (config.model, config.tokens) == (TransformerModel(), Tokens())
    assert (config.train.minutes, config.train.steps, config.train.epochs) == (3.75, None, None)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Decode(beam=0), r"beam must be greater than 0, got 0"),
        (lambda: RnnModel(attention="self"), r'attention must be one of .*, got "self"'),
        (lambda: TransformerModel(dropout=1.0), r"dropout must be less than 1, got 1"),
        (lambda: Tokens(min_count=0), r"min_count must be greater than 0, got 0"),
        (lambda: Train(loss="hinge"), r'loss must be one of .*, got "hinge"'),
        (lambda: Config(model={"name": "gru"}), r'model\.name must be one of .*, got "gru"'),
    ],
)
def test_what_cannot_be_trained_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
