"""The choice of bf16 follows the clock, and leaves no trace."""

import time

import pytest
import torch

from heedful.training.precision import faster_in_bf16


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
