import re

import pytest

from heedful.errors import ConfigError
from heedful.tasks.catalog import BUILT_IN, find_task, parse_config
from heedful.tasks.translation.config import Config, RnnModel, TransformerModel
from heedful.tasks.translation.task import Translation
from heedful.tuning.space import (
    Choice,
    Range,
    Space,
    applied,
    combinations,
    default_space,
    own_params,
    resolved,
    searched_keys,
)

ODD = TransformerModel(width=48, heads=3, kv_heads=1, feedforward=100)
MODELS = [TransformerModel(), TransformerModel(width=160, heads=8), ODD, RnnModel()]


def space(**values):
    return Space(choices=tuple(Choice(key=f"model.{key}", values=v) for key, v in values.items()))


class Sizes:
    """Stands in for vocabularies."""

    size = 9

    def __init__(self):
        self.source = self.target = self


@pytest.mark.parametrize("model", MODELS)
def test_every_combination_of_the_default_space_is_a_model_no_wider(model):
    config = Config(model=model)
    found = combinations(default_space(config), config, Translation)
    assert len(found) == len({tuple(params.values()) for params in found}) > 20
    for params in found[:: max(len(found) // 20, 1)]:
        changed = applied(config, params)
        assert changed.model.width <= model.width
        assert changed.model.encoder_layers == model.encoder_layers
        assert Translation(changed, Sizes()).build()


@pytest.mark.parametrize("model", MODELS)
def test_a_config_lies_in_its_default_space(model):
    config = Config(model=model)
    around = default_space(config)
    own = own_params(config, around, combinations(around, config, Translation))
    assert own["train.learning_rate"] == config.train.learning_rate
    explicit = config.model.model_dump() | {"kv_heads": own.get("model.kv_heads")}
    kept = applied(config, own).model.model_dump()
    assert kept == {key: explicit[key] for key in kept}


POSITIONS = ["sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal"]
ALIGNERS = ["additive", "dot", "scaled_dot", "general", "location", "coverage", "none"]
SPACES = [  # as they were before hints said so
    (
        TransformerModel(),
        {"width": [32, 48, 64, 96, 128], "heads": [1, 2, 4, 8], "kv_heads": [1, 2, 4, 8]}
        | {"feedforward": ["1x", "2x", "4x"], "positions": POSITIONS},
    ),
    (
        TransformerModel(width=160, heads=8),
        {"width": [40, 56, 80, 120, 160], "heads": [1, 2, 4, 8], "kv_heads": [1, 2, 4, 8]}
        | {"feedforward": ["1.6x", "1x", "2x", "4x"], "positions": POSITIONS},
    ),
    (
        ODD,
        {"width": [8, 16, 24, 32, 48], "heads": [1, 2, 3, 4, 8], "kv_heads": [1, 2, 3, 4, 8]}
        | {"feedforward": ["1x", "2.08333x", "2x", "4x"], "positions": POSITIONS},
    ),
    (
        RnnModel(),
        {"width": [32, 48, 64, 96, 128], "hidden": [48, 72, 96, 144, 192], "attention": ALIGNERS},
    ),
    (
        RnnModel(width=40, hidden=20),
        {"width": [8, 16, 24, 40], "hidden": [8, 20], "attention": ALIGNERS},
    ),
]


@pytest.mark.parametrize("model, values", SPACES)
def test_the_default_space_is_what_the_hints_of_the_fields_say(model, values):
    found = default_space(Config(model=model)).to_json()
    rates = {"train.learning_rate": {"low": 0.003 / 3, "high": 0.003 * 3}}
    want = {f"model.{key}": of for key, of in values.items()} | rates
    assert list(found.items()) == list(want.items())  # in this order: journals hold it


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_default_config_of_every_task_lies_in_a_space_of_its_own(name):
    task, config = find_task(name), parse_config({"task": name})
    around = default_space(config)
    assert {choice.key for choice in around.choices} >= {"model.width"}
    assert [one.key for one in around.ranges] == ["train.learning_rate"]
    valid = combinations(around, config, task)
    assert len(valid) > 5
    assert own_params(config, around, valid) is not None


def test_what_is_not_searched_stays():
    config = Config(seed=7, model=TransformerModel(width=64, encoder_layers=3, dropout=0.1))
    changed = applied(config, {"model.heads": 2, "train.learning_rate": 1e-4})
    assert changed.model == config.model.model_copy(update={"heads": 2})
    assert changed.train == config.train.model_copy(update={"learning_rate": 1e-4})
    assert (changed.seed, changed.data, changed.decode) == (7, config.data, config.decode)


@pytest.mark.parametrize("text, size", [("2x", 96), ("1.5x", 72), ("0.001x", 1)])
def test_a_relative_size_follows_the_width_of_the_trial(text, size):
    settings = {"model.feedforward": text, "model.width": 48}
    assert applied(Config(), settings).model.feedforward == size
    rnn = Config(model=RnnModel(width=10))
    assert resolved(rnn, {"model.hidden": "2x"})["model"]["hidden"] == 20


def test_only_combinations_that_make_a_model_are_listed_in_order():
    config = Config(model=TransformerModel(positions="learned"))
    found = combinations(space(width=(6, 8), heads=(3, 4), kv_heads=(1, 2, 3)), config, Translation)
    assert [tuple(params.values()) for params in found] == [
        *((6, 3, 1), (6, 3, 3), (8, 4, 1), (8, 4, 2)),
    ]
    assert combinations(Space(), config, Translation) == [{}]


def test_what_is_fixed_counts_too():
    config = Config(model=TransformerModel(heads=4, kv_heads=4))
    assert combinations(space(heads=(1, 2, 4, 8)), config, Translation) == [
        {"model.heads": 4},
        {"model.heads": 8},
    ]


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"heads": (3, 5)},
            "search must hold a combination that makes a model, got none: "
            "heads must divide width, got heads=3, width=128",
        ),
        (
            {"width": tuple(range(300)), "heads": tuple(range(200))},
            "search must be over at most 50,000 combinations, got 60,000",
        ),
    ],
)
def test_a_space_without_models_is_an_error(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        combinations(space(**values), Config(), Translation)


@pytest.mark.parametrize(
    "around",
    [
        space(heads=(1, 2)),
        Space(ranges=(Range(key="train.learning_rate", low=0.1, high=0.2),)),
        Space(ranges=(Range(key="train.steps", low=1, high=2),)),
    ],
)
def test_a_config_may_lie_outside(around):
    config = Config()
    assert own_params(config, around, combinations(around, config, Translation)) is None


def test_keys_are_those_of_the_model_and_of_training():
    keys = list(searched_keys(Config(model=RnnModel())))
    assert {"model.attention", "model.hidden", "train.learning_rate"} <= set(keys)
    assert not {"model.name", "model.heads", "data.dev", "seed"} & set(keys)


def test_a_value_that_the_schema_refuses_is_an_error():
    with pytest.raises(
        ConfigError, match=r"model.feedforward must be at most 1000000, got 1280000"
    ):
        applied(Config(), {"model.feedforward": "10000x"})
    config = Config(model=TransformerModel(width=64))
    found = combinations(space(feedforward=("2x", "20000x")), config, Translation)
    assert found == [{"model.feedforward": "2x"}]


def test_plain_data_names_everything():
    ends = Range(key="train.warmup", low=0.0, high=0.1)
    around = Space(choices=(Choice(key="model.heads", values=(1, 2)),), ranges=(ends,))
    assert around.to_json() == {
        "model.heads": [1, 2],
        "train.warmup": {"low": 0.0, "high": 0.1},
    }
