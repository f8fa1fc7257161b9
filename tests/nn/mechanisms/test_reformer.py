"""Reformer attention as a mechanism: its op, with its parameters."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.reformer import Reformer
from heedful.ops.reformer import reformer_attention, reformer_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    torch.manual_seed(5)
    return Reformer(**{"heads": 4, "dim": 3, "buckets": 4, "chunk": 2} | settings).double()


def test_is_the_op_with_its_parameters():
    mechanism = made()
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    given = {name: getattr(mechanism, name) for name in ("rotations", "chunk", "aligned")}
    want = reformer_attention(query, key, value, mask=mask, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = reformer_weights(query, key, mask=mask, **given)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


def test_works_inside_attention():
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=made(aligned=True)).double()
    x, mask = draw(2, 9, 12), Mask.lengths(torch.tensor([9, 7]))
    output = attention(x, mask=mask)
    assert output.shape == x.shape
    assert attention.weights(x, mask=mask).shape == (2, 4, 9, 9)
    output.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_rotations_are_drawn_once_and_saved():
    mechanism = made(rounds=3, buckets=8)
    assert mechanism.rotations.shape == (3, 3, 4)
    assert torch.equal(mechanism.rotations, made(rounds=3, buckets=8).rotations)
    assert not torch.equal(mechanism.rotations, made(rounds=3, buckets=8, seed=1).rotations)
    assert list(mechanism.state_dict()) == ["rotations"]
    assert list(mechanism.parameters()) == []


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rounds": 0}, "rounds and chunk must be at least 1, got rounds=0, chunk=2"),
        ({"chunk": 0}, "rounds and chunk must be at least 1, got rounds=2, chunk=0"),
        ({"buckets": 5}, "buckets must be even and at least 2, got 5"),
        ({"buckets": 0}, "buckets must be even and at least 2, got 0"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
