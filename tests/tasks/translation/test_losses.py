"""Losses against loops in float64."""

import math

import numpy as np
import pytest
import torch

from heedful.tasks.translation.losses import LOSSES, cross_entropy, mean_squared_error
from heedful.testing.tolerance import assert_close

PAD = 0


def batch(dtype):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.tensor([[1, 6, 2, PAD, PAD], [3, 4, 5, 1, 2]])
    return logits, target


def probabilities(logits):
    wide = np.exp(logits - logits.max())
    return wide / wide.sum()


def oracle(name, logits, target, smoothing):
    total, size = 0.0, logits.shape[-1]
    for row, tokens in enumerate(target.tolist()):
        for column, token in enumerate(tokens):
            if token == PAD:
                continue
            p = probabilities(logits[row, column].double().numpy())
            for k in range(size):
                truth = smoothing / size + (1 - smoothing) * (k == token)
                if name == "mse":
                    total += (p[k] - truth) ** 2
                else:
                    total -= truth * math.log(p[k])
    return total


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_matches_float64_loops(name, smoothing, dtype):
    logits, target = batch(dtype)
    actual = LOSSES[name](logits, target, pad=PAD, smoothing=smoothing)
    want = torch.tensor(oracle(name, logits, target, smoothing), dtype=torch.float64)
    # a sum of 8 tokens of 7 terms each, in float32 whatever comes in
    assert actual.dtype == torch.float32
    assert_close(actual, want, roundings=8 * 7 + 4, largest=want.abs().item())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_padding_cannot_matter(name):
    logits, target = batch(torch.float64)
    logits.requires_grad_()
    LOSSES[name](logits, target, pad=PAD, smoothing=0.1).backward()
    assert (logits.grad[target == PAD] == 0).all()
    assert (logits.grad[target != PAD] != 0).any(-1).all()


def test_a_certain_right_answer_costs_nothing():
    target = torch.tensor([[2, 1]])
    logits = 1e4 * torch.nn.functional.one_hot(target, 4).double()
    assert cross_entropy(logits, target, pad=PAD).item() == 0
    assert mean_squared_error(logits, target, pad=PAD).item() == 0
