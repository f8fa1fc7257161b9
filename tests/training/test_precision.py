"""The choice of bf16 follows the clock, and leaves no trace."""

import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from heedful.training.precision import faster_in_bf16, measured_precision


def slow_when(low):
    def step():
        time.sleep(0.02 if torch.is_autocast_enabled("cpu") == low else 0.001)

    return step


@pytest.mark.parametrize("slow_in_bf16", [True, False])
def test_follows_the_measurement(slow_in_bf16):
    step = slow_when(slow_in_bf16)
    assert faster_in_bf16(step, device="cpu", seconds=0.1) is not slow_in_bf16


def test_equal_times_keep_fp32():
    assert not faster_in_bf16(lambda: time.sleep(0.005), device="cpu", seconds=0.1)


def test_random_numbers_are_given_back():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    faster_in_bf16(lambda: torch.rand(7), device="cpu", seconds=0.02)
    assert torch.equal(torch.rand(3), want)


def test_the_model_is_left_as_it_is_with_what_its_layers_have_counted():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def loss(model, batch):
        return model(batch).square().sum(), len(batch)

    learner = SimpleNamespace(bare=model, loss=loss)
    data = SimpleNamespace(batch=lambda rows, device: torch.randn(len(rows), 4))
    stream = SimpleNamespace(batches=lambda epoch: [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]])
    measured_precision(learner, data, stream, torch.device("cpu"))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(parameter.grad is None for parameter in model.parameters())
