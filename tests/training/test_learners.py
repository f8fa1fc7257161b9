"""Who takes a training step, and where."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from heedful.errors import UnsupportedError
from heedful.training.learners import NoNumberError, OwnLearner, stepper

META: Any = SimpleNamespace(device=torch.device("meta"), num_processes=1)


class Given:
    """A learner that gives the values of one step."""

    def __init__(self, model: nn.Module, **values: float) -> None:
        self.model, self.optimizers, self.values = model, {}, values

    def step(self, batch: Any, rate: float) -> dict[str, float]:
        assert self.model.training
        return self.values | {"rate": rate}


def test_a_learner_of_a_tasks_own_gets_the_model_where_batches_are():
    task: Any = SimpleNamespace(learner=lambda model: Given(model, loss=1.0))
    taken = stepper(task, nn.Linear(2, 3), META)
    assert taken.bare.weight.device.type == "meta"
    assert isinstance(taken, OwnLearner)


def test_the_first_value_is_the_loss_and_all_are_logged():
    taken = OwnLearner(Given(nn.Linear(2, 3).eval(), one=4.0, two=5.0)).step(None, 0.5)
    assert (taken.loss, taken.decisions) == (4.0, 1.0)
    assert taken.values == {"one": 4.0, "two": 5.0, "rate": 0.5}


def test_a_value_that_is_no_number_ends_the_training():
    with pytest.raises(NoNumberError, match=r"one = 4\.0, two = nan"):
        OwnLearner(Given(nn.Linear(2, 3), one=4.0, two=float("nan"))).step(None, 0.5)


def test_it_trains_in_one_process():
    task: Any = SimpleNamespace(
        learner=lambda model: Given(model), config=SimpleNamespace(task="generate-image")
    )
    several: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=2)
    with pytest.raises(UnsupportedError, match="generate-image must be trained in one process"):
        stepper(task, nn.Linear(2, 3), several)
