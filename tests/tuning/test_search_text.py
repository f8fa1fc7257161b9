import re

import pytest

from heedful.errors import ConfigError
from heedful.tasks.translation.config import Config, RnnModel
from heedful.tuning.search_text import parse_space
from heedful.tuning.space import Choice, Range


def one(text, config=None):
    space = parse_space([text], config or Config())
    (found,) = (*space.choices, *space.ranges)
    return found


@pytest.mark.parametrize(
    "text, key, values",
    [
        ("heads=1,2,4", "model.heads", (1, 2, 4)),
        ("model.width = 64, 128,64", "model.width", (64, 128)),
        ("positions=rotary,learned", "model.positions", ("rotary", "learned")),
        ("feedforward=1x,2.5x,300", "model.feedforward", ("1x", "2.5x", 300)),
        ("tie_embeddings=true,false", "model.tie_embeddings", (True, False)),
        ("learning_rate=1e-3,0.01", "train.learning_rate", (0.001, 0.01)),
        ("encoder_layers=1..3", "model.encoder_layers", (1, 2, 3)),
        ("loss='mse'", "train.loss", ("mse",)),
    ],
)
def test_lists(text, key, values):
    assert one(text) == Choice(key=key, values=values)


@pytest.mark.parametrize(
    "text, key, low, high",
    [
        ("learning_rate=1e-3..1e-2", "train.learning_rate", 0.001, 0.01),
        ("train.weight_decay = 0 .. 1", "train.weight_decay", 0.0, 1.0),
        ("dropout=0.0..0.5", "model.dropout", 0.0, 0.5),
        ("clip=1..4", "train.clip", 1.0, 4.0),
    ],
)
def test_ranges(text, key, low, high):
    found = one(text)
    assert found == Range(key=key, low=low, high=high)
    assert isinstance(found.low, float)


def test_kinds_of_attention_are_searched_where_the_model_has_them():
    config = Config(model=RnnModel())
    assert one("attention=dot,none", config).values == ("dot", "none")
    assert one("hidden=1x,2x", config).key == "model.hidden"


def test_several():
    space = parse_space(["heads=1,2", "clip=1..2", "width=64"], Config())
    assert [choice.key for choice in space.choices] == ["model.heads", "model.width"]
    assert [ends.key for ends in space.ranges] == ["train.clip"]


@pytest.mark.parametrize(
    "texts, message",
    [
        (["heads"], "search must look like heads=1,2,4, got 'heads'"),
        (["=1"], "search must look like heads=1,2,4, got '=1'"),
        (["heads="], "search must look like heads=1,2,4, got 'heads='"),
        (["head=1,2"], 'search must be one of "heads", '),
        (["model.name=rnn"], 'search must be one of "model.'),
        (["attention=dot"], 'got "attention"'),
        (["data.dev=1"], 'got "data.dev"'),
        (
            ["heads=1", "model.heads=2"],
            "search must name a setting once, got model.heads again in 'model.heads=2'",
        ),
        (["heads=1,two"], 'model.heads must be a whole number, got "two"'),
        (["heads=0,1"], "model.heads must be greater than 0, got 0"),
        (["width=2x"], 'model.width must be a whole number, got "2x"'),
        (["heads=1,"], "model.heads must be a whole number, got"),
        (["clip=0..1"], "train.clip must be at least 1e-09, got 0"),
        (["clip=2..1"], "search must have a lower and a higher number around .., got train.clip"),
        (["clip=1..inf"], "search must have a lower and a higher number around .., got train"),
        (["clip=1..x"], "search must have a lower and a higher number around .., got train"),
        (["clip=.."], "search must have a lower and a higher number around .., got train"),
        (["width=1..1001"], "search must have at most 1,000 values a setting, got model.width"),
    ],
)
def test_rejects(texts, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_space(texts, Config())
