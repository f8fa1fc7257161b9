"""Concat attention as a mechanism: its op, with its matrices and vectors."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.concat import Concat
from heedful.ops.concat import concat_attention, concat_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_is_the_op_with_its_parameters():
    mechanism = Concat(heads=4, dim=3, hidden=5)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    given = {
        "query_weight": mechanism.query_weight,
        "key_weight": mechanism.key_weight,
        "score_weight": mechanism.score_weight,
        "mask": Mask.lengths(torch.tensor([4, 7])),
    }
    want = concat_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=given["mask"]), want)
    want = concat_weights(query, key, **given)
    assert torch.equal(mechanism.weights(query, key, mask=given["mask"]), want)


def test_learns_inside_attention():
    mechanism = Concat(heads=4, dim=3, hidden=5)
    attention = Attention(width=12, heads=4, dim=3, kv_heads=2, mechanism=mechanism)
    attention(draw(2, 7, 12), mask=Mask.causal()).square().sum().backward()
    assert list(mechanism.parameters())
    for name, parameter in [*mechanism.named_parameters(), ("query", attention.query.weight)]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_is_as_wide_inside_as_outside_unless_told():
    assert Concat(heads=4, dim=3).query_weight.shape == (4, 3, 3)
    assert Concat(heads=4, dim=3, hidden=5).query_weight.shape == (4, 5, 3)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Concat(**{"heads": 4, "dim": 3, **settings})
