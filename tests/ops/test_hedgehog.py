"""Hedgehog attention keeps the contract and its promise, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops.hedgehog import hedgehog_attention, hedgehog_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.tolerance import assert_close, roundings

KINDS = ["none", "full", "causal", "causal_start", "lengths", "empty_text", "both", "nothing"]


class TestHedgehog(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["hedgehog"]


def maps(features, sizes, generator):
    drawn = torch.randn(2, sizes.heads, sizes.dim, features, generator=generator).double()
    return {"query_map": drawn[0], "key_map": drawn[1]}


class TestPromise(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=hedgehog_attention,
            exact=None,
            budgets=[2, 4, 8],
            settings=maps,
            full="it learns to be like a softmax, and need not be",
            smaller=32,
            masks=KINDS,
        )


def tensors(**changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, 5, 3, generator=generator),
        "key": torch.randn(2, 2, 7, 3, generator=generator),
        "value": torch.randn(2, 2, 7, 6, generator=generator),
        "query_map": torch.randn(4, 3, 8, generator=generator),
        "key_map": torch.randn(4, 3, 8, generator=generator),
    } | changed


def test_turning_both_maps_over_changes_nothing():
    """The features of `-W` are those of `W` in another order."""
    given = tensors()
    over = {name: -given[name] for name in ("query_map", "key_map")}
    torch.testing.assert_close(hedgehog_attention(**given | over), hedgehog_attention(**given))


def test_large_maps_look_at_the_keys_with_the_same_largest_feature():
    """With the identity as map, a row of one large number has one feature, by place and sign."""
    rows = torch.eye(3)[[0, 1, 2, 0, 1]] * torch.tensor([1, 1, 1, -1, 1])[:, None] * 1e3
    rows = rows[None, None]
    eye = torch.eye(3)[None]
    weights = hedgehog_weights(rows, rows, query_map=eye, key_map=eye)
    want = torch.eye(5)
    want[1, 4] = want[4, 1] = 1.0
    want = want / want.sum(-1, keepdim=True)
    limit = roundings(torch.float32, 3, 5)
    assert_close(weights[0, 0], want, roundings=limit, largest=1.0)


@pytest.mark.parametrize("mask", [None, Mask.causal()])
def test_shares_stay_shares_where_no_feature_is_common(mask):
    """Each product of features is 0 in float32, by hundreds of orders of magnitude."""
    query, key = torch.full((1, 1, 7, 3), 1e3), torch.full((1, 1, 7, 3), -1e3)
    key = key + torch.arange(7)[:, None]
    eye = torch.eye(3)[None]
    weights = hedgehog_weights(query, key, query_map=eye, key_map=eye, mask=mask)
    assert_close(
        weights.sum(-1), torch.ones(1, 1, 7), roundings=roundings(torch.float32, 3, 7), largest=1.0
    )


@pytest.mark.parametrize(
    "changed, error, message",
    [
        (
            {"query_map": torch.ones(2, 3, 8)},
            ShapeError,
            "query_map must have shape (heads=4, dim=3, features), got (2, 3, 8)",
        ),
        (
            {"key_map": torch.ones(4, 8, 3)},
            ShapeError,
            "key_map must have shape (heads=4, dim=3, features), got (4, 8, 3)",
        ),
        (
            {"key_map": torch.ones(4, 3, 0)},
            ShapeError,
            "key_map must have shape (heads=4, dim=3, features), got (4, 3, 0)",
        ),
        (
            {"query_map": torch.ones(3, 8)},
            ShapeError,
            "query_map must have shape (heads=4, dim=3, features), got (3, 8)",
        ),
        (
            {"key_map": torch.ones(4, 3, 5)},
            ShapeError,
            "query_map and key_map must have as many features, got 8 and 5",
        ),
        (
            {"key_map": torch.ones(4, 3, 8).int()},
            ConfigError,
            "key_map must be floating-point, got torch.int32",
        ),
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
        (
            {"mask": Mask.window(2)},
            UnsupportedError,
            "mask must be causal, a choice of keys or both because Hedgehog attention sums keys up "
            "before a query meets them, got Mask.window(2",
        ),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        hedgehog_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        hedgehog_weights(**given)
