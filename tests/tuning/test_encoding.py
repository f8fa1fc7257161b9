"""What was chosen becomes parameters of Optuna and comes back the same."""

import random

import optuna
import pytest

from heedful.tasks.translation.config import Config, RnnModel, TransformerModel
from heedful.tasks.translation.task import Translation
from heedful.tuning.encoding import encoded, suggested
from heedful.tuning.space import Choice, Range, Space, combinations, default_space

ENDS = Range(key="train.weight_decay", low=0.0, high=0.5)


def random_params(space, valid, seed):
    draw = random.Random(seed)
    params = dict(draw.choice(valid))
    return params | {one.key: draw.uniform(one.low, one.high) for one in space.ranges}


@pytest.mark.parametrize("model", [TransformerModel(), TransformerModel(width=48), RnnModel()])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_encoded_is_suggested(model, seed):
    config = Config(model=model)
    space = default_space(config)
    valid = combinations(space, config, Translation)
    params = random_params(space, valid, seed)
    trial = optuna.trial.FixedTrial(encoded(params, space, valid))
    assert suggested(trial, space, valid) == params


class Asked:
    """Stands in for a trial: takes the last value and remembers what there was to choose."""

    def __init__(self):
        self.of = {}

    def suggest_int(self, name, low, high):
        self.of[name] = (low, high)
        return high

    def suggest_categorical(self, name, values):
        self.of[name] = tuple(values)
        return values[-1]

    def suggest_float(self, name, low, high, *, log):
        self.of[name] = (low, high, log)
        return high


def test_only_what_still_leads_to_a_model_is_there_to_choose():
    keys = {"model.width": (12, 16), "model.heads": (3, 4), "model.kv_heads": (1, 3, 4)}
    keys |= {"model.positions": ("learned", "relative"), "model.tie_embeddings": (True, False)}
    space = Space(choices=tuple(Choice(key=key, values=values) for key, values in keys.items()))
    valid = combinations(space, Config(), Translation)
    asked = Asked()
    found = suggested(asked, space, valid)
    assert list(found.values()) == [16, 4, 4, "relative", False]
    assert asked.of == {  # 3 heads do not divide 16; numbers are chosen by place, in order
        "model.width of 12, 16": (0, 1),
        "model.kv_heads of 1, 4": (0, 1),
        "model.positions of learned, relative": ("learned", "relative"),
        "model.tie_embeddings of True, False": (True, False),
    }


def test_ranges_above_0_are_logarithmic():
    asked = Asked()
    rate = Range(key="train.learning_rate", low=0.001, high=0.1)
    found = suggested(asked, Space(ranges=(ENDS, rate)), [{}])
    assert found == {"train.weight_decay": 0.5, "train.learning_rate": 0.1}
    assert list(asked.of.values()) == [(0.0, 0.5, False), (0.001, 0.1, True)]


def test_ranges_that_are_not_given_are_left_open():
    space = Space(choices=(Choice(key="model.heads", values=(1, 2, 4)),), ranges=(ENDS,))
    valid = combinations(space, Config(), Translation)
    assert encoded({"model.heads": 4}, space, valid) == {"model.heads of 1, 2, 4": 2}
