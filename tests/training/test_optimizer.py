"""Matrices decay, biases and norms do not."""

import torch
from torch import nn

from heedful.config.base import Train
from heedful.training.optimizer import adamw


def test_every_parameter_is_moved_once_and_matrices_alone_decay():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3), nn.Conv1d(3, 2, 1))
    optimizer = adamw(model, Train(steps=1, learning_rate=0.25, weight_decay=0.5))
    decayed, kept = optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.5, 0.0)
    assert {x.dim() for x in decayed["params"]} == {2, 3}
    assert {x.dim() for x in kept["params"]} == {1}
    both = [*decayed["params"], *kept["params"]]
    assert {id(x) for x in both} == {id(x) for x in model.parameters()}
    assert len(both) == len(list(model.parameters())) == 7
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}


def test_without_a_gradient_of_its_own_a_matrix_shrinks_by_rate_times_decay():
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer = adamw(model, Train(steps=1, learning_rate=0.25, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.25 * 0.5))
    assert torch.equal(model.bias.detach(), before[1])
