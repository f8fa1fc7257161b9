"""Hedgehog attention as a mechanism: its op, with its parameters."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.hedgehog import Hedgehog
from heedful.ops.hedgehog import hedgehog_attention, hedgehog_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**settings):
    """With other maps than those that it starts with."""
    mechanism = Hedgehog(**{"heads": 4, "dim": 3} | settings).double()
    with torch.no_grad():
        for seed, parameter in enumerate(mechanism.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 7))
    return mechanism


def test_is_the_op_with_its_parameters():
    mechanism = made(features=5)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.causal() & Mask.lengths(torch.tensor([6, 9]))
    given = {"query_map": mechanism.query_map, "key_map": mechanism.key_map, "mask": mask}
    want = hedgehog_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    assert torch.equal(
        mechanism.weights(query, key, mask=mask), hedgehog_weights(query, key, **given)
    )


def test_works_inside_attention():
    torch.manual_seed(5)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=made()).double()
    x, mask = draw(2, 9, 12), Mask.lengths(torch.tensor([9, 7]))
    output = attention(x, mask=mask)
    assert output.shape == x.shape
    assert attention.weights(x, mask=mask).shape == (2, 4, 9, 9)
    output.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_maps_start_as_the_identity_and_are_two():
    mechanism = Hedgehog(heads=4, dim=3)
    for learned in mechanism.parameters():
        assert torch.equal(learned, torch.eye(3).expand(4, 3, 3))
    assert mechanism.query_map.data_ptr() != mechanism.key_map.data_ptr()
    assert Hedgehog(heads=4, dim=3, features=5).key_map.shape == (4, 3, 5)


def test_rejects_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="features must be at least 1, got 0"):
        Hedgehog(heads=4, dim=3, features=0)
