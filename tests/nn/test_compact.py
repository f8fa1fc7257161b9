"""Weights that are held only as they multiply: what is said stays, and learning asks for more."""

import copy
import pickle

import pytest
import torch
from torch import nn

from heedful.errors import UnsupportedError
from heedful.nn.compact import (
    compact_weights,
    is_compact,
    low_layers,
    numbers_of,
    room_of,
    widen,
    widened,
)
from heedful.nn.low_precision import LowPrecisionLinear
from heedful.testing.tolerance import assert_close

PRECISIONS = ("bf16", "int8")


class Model(nn.Module):
    """A layer of few bits that is alone, two that share a weight, and one of full precision."""

    def __init__(self, precision):
        super().__init__()
        torch.manual_seed(1)
        self.alone = LowPrecisionLinear(24, 16, precision=precision)
        self.first = LowPrecisionLinear(16, 16, precision=precision)
        self.second = LowPrecisionLinear(16, 16, precision=precision)
        self.second.weight = self.first.weight
        self.plain = nn.Linear(16, 3)

    def forward(self, x):
        return self.plain(self.second(self.first(self.alone(x))))


def made_compact(model):
    for name, tensors in compact_weights(model).items():
        model.get_submodule(name).take(*tensors.values())
    return model


@pytest.fixture(params=PRECISIONS)
def pair(request):
    """A model, and the same made compact."""
    model = Model(request.param).eval()
    return model, made_compact(copy.deepcopy(model))


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_says_the_same_bit_for_bit_compact_and_wide_again(pair, rows):
    model, compact = pair
    x = torch.randn(rows, 24)
    said = model(x)
    assert torch.equal(compact(x), said)
    assert torch.equal(widen(copy.deepcopy(compact))(x), said)
    assert torch.equal(copy.deepcopy(compact)(x), said)
    assert torch.equal(pickle.loads(pickle.dumps(compact))(x), said)  # its own


def test_only_what_is_its_own_is_made_small(pair):
    model, compact = pair
    assert list(low_layers(model)) == ["alone"]
    assert is_compact(compact)
    assert not is_compact(model)
    assert compact.second.weight is compact.first.weight
    assert numbers_of(compact) == numbers_of(model)
    small = sum(x.numel() * x.element_size() for x in compact.alone.state_dict().values())
    width = 1 if compact.alone.precision == "int8" else 2
    assert small == width * 24 * 16 + 4 * 16 * (3 - width)


def test_rounding_what_was_rounded_changes_nothing(pair):
    _, compact = pair
    again = compact_weights(widen(copy.deepcopy(compact)))["alone"]
    for name, tensor in again.items():
        assert torch.equal(tensor, compact.alone.state_dict()[name])
        assert tensor.shape == room_of(compact.alone)[name].shape
        assert tensor.dtype == room_of(compact.alone)[name].dtype


def test_learns_only_where_it_is_wide(pair):
    _, compact = pair
    x = torch.randn(5, 24)
    compact.train()
    with pytest.raises(UnsupportedError, match="numbers in full to be trained, got one that keeps"):
        compact(x)
    wide = widened(compact)
    assert wide is not compact
    assert widened(wide) is wide
    wide(x).sum().backward()
    assert wide.alone.weight.grad.any()
    assert wide.alone.weight.dtype == torch.float32
    assert is_compact(compact)


def test_gradients_of_what_comes_in_are_those_of_the_rounded_weight(pair):
    _, compact = pair
    x = torch.randn(5, 24, requires_grad=True)
    compact.alone(x).sum().backward()
    assert_close(
        x.grad, compact.alone.rounded().double().sum(0).expand(5, -1), roundings=40, largest=20
    )
