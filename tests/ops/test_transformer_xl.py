"""Transformer-XL attention keeps the contract, and shifts distances to where they belong."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.ops.transformer_xl import transformer_xl_attention, transformer_xl_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.tolerance import assert_close, roundings


class TestTransformerXL(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["transformer_xl"]


def tensors(*, queries=5, keys=7, **changed):
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "query": (2, 4, queries, 3),
        "key": (2, 2, keys, 3),
        "position": (4, queries + keys - 1, 3),
        "content_bias": (4, 3),
        "position_bias": (4, 3),
    }
    return {name: torch.randn(*s, generator=generator) for name, s in shapes.items()} | changed


def test_without_positions_and_biases_it_is_scaled_dot():
    zeros = torch.zeros(4, 3)
    given = tensors(position=torch.ones(4, 11, 3), content_bias=zeros, position_bias=zeros)
    # the same number for all keys of a query, which the softmax does not see
    actual = transformer_xl_weights(**given, mask=Mask.causal())
    want = scaled_dot_weights(given["query"], given["key"], mask=Mask.causal())
    assert_close(actual, want, roundings=2 * roundings(want.dtype, 3, 3, 7, 7), largest=1.0)


@pytest.mark.parametrize("queries, keys", [(5, 7), (7, 5), (1, 7), (7, 1), (1, 1), (4, 4)])
def test_each_pair_gets_its_distance(queries, keys):
    distances = torch.arange(keys - 1, -queries, -1.0)
    given = {
        "query": torch.zeros(1, 1, queries, 1),
        "key": torch.zeros(1, 1, keys, 1),
        "position": distances[None, :, None],
        "content_bias": torch.zeros(1, 1),
        "position_bias": torch.ones(1, 1),
    }
    weights = transformer_xl_weights(**given, scale=0.5)
    place = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    want = (place * 0.5).softmax(-1)[None, None]
    assert_close(weights, want, roundings=roundings(want.dtype, keys, keys), largest=1.0)


def test_attention_scales_as_its_weights_do():
    given, value = tensors(), torch.ones(2, 2, 7, 6).cumsum(2)
    output = transformer_xl_attention(**given, value=value, scale=0.1)
    want = transformer_xl_weights(**given, scale=0.1) @ value.repeat_interleave(2, 1)
    assert_close(output, want, roundings=roundings(want.dtype, 7), largest=7.0)


def test_never_makes_a_vector_for_each_pair():
    given = {name: x.requires_grad_() for name, x in tensors(queries=60, keys=60).items()}

    def run():
        transformer_xl_weights(**given, mask=Mask.causal()).sum().backward()

    assert measure(run).largest <= 2 * 4 * 60 * (2 * 60 + 1)


@pytest.mark.parametrize("queries, keys", [(0, 5), (5, 0), (0, 0)])
def test_nothing_gives_nothing(queries, keys):
    given = tensors(queries=queries, keys=max(keys, 1))
    given["key"] = given["key"][:, :, :keys]
    given["position"] = given["position"][:, : max(queries + keys - 1, 0)]
    output = transformer_xl_attention(**given, value=torch.ones(2, 2, keys, 6))
    assert torch.equal(output, torch.zeros(2, 4, queries, 6))


@pytest.mark.parametrize(
    "changed, error, message",
    [
        (
            {"position": torch.ones(4, 7, 3)},
            ShapeError,
            "position must have shape (heads=4, distances=11, dim=3), got (4, 7, 3)",
        ),
        (
            {"content_bias": torch.ones(2, 3)},
            ShapeError,
            "content_bias must have shape (heads=4, dim=3), got (2, 3)",
        ),
        (
            {"position_bias": torch.ones(4, 1)},
            ShapeError,
            "position_bias must have shape (heads=4, dim=3), got (4, 1)",
        ),
        (
            {"position": torch.ones(4, 11, 3).long()},
            ConfigError,
            "position must be floating-point, got torch.int64",
        ),
        (
            {"content_bias": torch.ones(4, 3).bool()},
            ConfigError,
            "content_bias must be floating-point, got torch.bool",
        ),
        (
            {"position_bias": torch.ones(4, 3).int()},
            ConfigError,
            "position_bias must be floating-point, got torch.int32",
        ),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    with pytest.raises(error, match=re.escape(message)):
        transformer_xl_weights(**tensors(**changed))
    with pytest.raises(error, match=re.escape(message)):
        transformer_xl_attention(**tensors(**changed), value=torch.ones(2, 2, 7, 6))
