"""Gradient x attention is a product of matrices, in forward order, for each target its own."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.explaining import gradient_attention as module
from heedful.explaining.gradient_attention import gradient_attention

sys.path.insert(0, str(Path(__file__).parent))
from routed import KINDS, by_matrices, routed


def helpful(weights, gradients):
    return (weights * gradients).clamp(min=0).mean(0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_product_of_all_helpful_weights(kind):
    asked = routed(kind)
    found = gradient_attention(asked.model, asked.question)
    for target in range(3):
        expected = by_matrices(asked, target, helpful)
        band = 1e-6 * expected.max()
        assert band > 0
        np.testing.assert_allclose(found.weights[target], expected, rtol=0, atol=band)
    assert found.error < 1e-12


def test_targets_are_asked_for_some_at_a_time(monkeypatch):
    asked = routed("one source")
    whole = gradient_attention(asked.model, asked.question).weights
    monkeypatch.setattr(module, "TARGETS", 2)
    few = gradient_attention(asked.model, asked.question).weights
    np.testing.assert_allclose(few, whole, rtol=1e-6)


def test_the_model_stays_as_it_was():
    asked = routed("pooling")
    model = asked.model.train()
    model.encoder.own[0].eval()
    model.answer.weight.requires_grad_(False)
    own = model.answer.bias.grad = torch.ones(3).double()
    modes = [each.training for each in model.modules()]
    gradient_attention(model, asked.question)
    assert [each.training for each in model.modules()] == modes
    assert not model.answer.weight.requires_grad
    assert model.answer.bias.requires_grad
    assert model.answer.bias.grad is own
    assert own.tolist() == [1, 1, 1]
    assert all(each.grad is None for each in model.encoder.parameters())
    assert not any({"mix", "forward"} & vars(each).keys() for each in model.modules())


def test_also_when_something_raises():
    asked = routed("pooling")
    asked.model.train().requires_grad_(False)

    def fail(model, inputs):
        model(*inputs)
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        gradient_attention(asked.model, replace(asked.question, scores=fail))
    assert asked.model.training
    assert not any(each.requires_grad for each in asked.model.parameters())
    assert not any({"mix", "forward"} & vars(each).keys() for each in asked.model.modules())


def test_it_works_where_no_gradients_are_wanted():
    asked = routed("row")
    expected = gradient_attention(asked.model, asked.question).weights
    with torch.no_grad():
        found = gradient_attention(asked.model, asked.question).weights
    assert found.tolist() == expected.tolist()
