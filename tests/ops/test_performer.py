"""Performer attention keeps the contract and its promise, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops.performer import (
    orthogonal_projection,
    performer_attention,
    performer_weights,
)
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import scaled_dot
from heedful.testing.tolerance import assert_close, roundings

KINDS = ["none", "full", "causal", "causal_start", "lengths", "empty_text", "both", "nothing"]


class TestPerformer(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["performer"]


def drawn(features, sizes, generator):
    """The first rows of one draw."""
    rows = orthogonal_projection(256, sizes.dim, heads=sizes.heads, generator=generator)
    return {"projection": rows[:, :features].double()}


class TestPromise(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=performer_attention,
            exact=scaled_dot,
            budgets=[4, 16, 64, 256],
            settings=drawn,
            full="random features are exact only in the limit of infinitely many",
            smaller=32,
            masks=KINDS,
        )


def test_the_error_falls_with_the_root_of_the_number_of_features():
    """Sixteen times the features, a quarter of the error; of short vectors, where it has a mean."""
    drawn_once = torch.Generator().manual_seed(2)
    query, key = 0.3 * torch.randn(2, 1, 4, 32, 4, generator=drawn_once, dtype=torch.float64)
    want = scaled_dot_weights(query, key)

    def error(features):
        squares = 0.0
        for seed in range(24):
            generator = torch.Generator().manual_seed(seed)
            rows = orthogonal_projection(features, 4, heads=4, generator=generator).double()
            squares += (performer_weights(query, key, projection=rows) - want).square().sum().item()
        return squares**0.5

    assert 3 < error(16) / error(256) < 5


def tensors(**changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, 5, 3, generator=generator),
        "key": torch.randn(2, 2, 7, 3, generator=generator),
        "value": torch.randn(2, 2, 7, 6, generator=generator),
        "projection": torch.randn(4, 8, 3, generator=generator),
    } | changed


def test_one_projection_for_all_heads_is_one_each():
    one = torch.randn(1, 8, 3)
    each = one.expand(4, -1, -1)
    actual = performer_attention(**tensors(projection=one))
    torch.testing.assert_close(actual, performer_attention(**tensors(projection=each)))


@pytest.mark.parametrize("mask", [None, Mask.causal(), Mask.lengths(torch.tensor([3, 5]))])
@pytest.mark.parametrize("factor", [1.0, 30.0, 1e4])
def test_shares_stay_shares_whatever_the_size_of_scores(factor, mask):
    """Both sides grow: features of queries and keys then have no common size at all."""
    given = tensors()
    del given["value"]
    large = {name: given[name] * factor for name in ("query", "key")}
    weights = performer_weights(**given | large, mask=mask)
    assert (weights >= 0).all()
    want = torch.ones(2, 4, 5)
    assert_close(weights.sum(-1), want, roundings=roundings(torch.float32, 3, 7, 8), largest=1.0)


def test_large_scores_of_both_sides_have_finite_gradients():
    for mask in (None, Mask.causal()):
        given = {name: x * 100 for name, x in tensors().items()}
        given = {name: x.requires_grad_() for name, x in given.items()}
        performer_attention(**given, mask=mask).sum().backward()
        assert all(x.grad.isfinite().all() for x in given.values())


def test_what_comes_later_cannot_push_the_past_aside():
    """A key so large that the features of all others would vanish beside its own."""
    given = tensors(query=torch.randn(2, 4, 7, 3))
    before = performer_attention(**given, mask=Mask.causal())
    given["key"] = given["key"].clone()
    given["key"][:, :, 5] *= 100
    after = performer_attention(**given, mask=Mask.causal())
    assert torch.equal(after[:, :, :5], before[:, :, :5])
    assert not torch.equal(after[:, :, 5:], before[:, :, 5:])


@pytest.mark.parametrize("features, dim, heads", [(3, 4, 1), (4, 4, 2), (11, 4, 3)])
def test_rows_of_a_block_are_orthogonal(features, dim, heads):
    generator = torch.Generator().manual_seed(0)
    rows = orthogonal_projection(features, dim, heads=heads, generator=generator).double()
    assert rows.shape == (heads, features, dim)
    for block in rows.split(dim, 1):
        products = block @ block.mT
        off = products - torch.diag_embed(products.diagonal(dim1=-2, dim2=-1))
        largest = products.abs().max().item()
        assert_close(off.float(), torch.zeros_like(off), roundings=4, largest=largest)


def test_rows_are_normal():
    """Mean 0, variance 1, and a squared length as that of a normal vector: mean d, variance 2d."""
    generator = torch.Generator().manual_seed(0)
    rows = orthogonal_projection(20_000, 4, generator=generator)[0]
    error = 5 / len(rows) ** 0.5  # five standard errors
    assert rows.mean(0).abs().max() < error
    assert (rows.T @ rows / len(rows) - torch.eye(4)).abs().max() < 2 * error
    squares = rows.square().sum(-1)
    assert abs(squares.mean() - 4) < 8**0.5 * error
    assert abs(squares.var() - 8) < 40 * error


def test_draws_differ_by_head_and_seed_and_are_repeatable():
    first, second, other = (
        orthogonal_projection(5, 3, heads=2, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("features, dim, heads", [(0, 3, 1), (5, 0, 1), (5, 3, 0)])
def test_a_draw_needs_sizes(features, dim, heads):
    message = f"features, dim and heads must be at least 1, got {features=}, {dim=}, {heads=}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        orthogonal_projection(features, dim, heads=heads, generator=torch.Generator())


@pytest.mark.parametrize(
    "changed, error, message",
    [
        (
            {"projection": torch.ones(2, 8, 3)},
            ShapeError,
            "projection must have shape (1 or heads=4, features, dim=3), got (2, 8, 3)",
        ),
        (
            {"projection": torch.ones(4, 3, 8)},
            ShapeError,
            "projection must have shape (1 or heads=4, features, dim=3), got (4, 3, 8)",
        ),
        (
            {"projection": torch.ones(4, 0, 3)},
            ShapeError,
            "projection must have shape (1 or heads=4, features, dim=3), got (4, 0, 3)",
        ),
        (
            {"projection": torch.ones(8, 3)},
            ShapeError,
            "projection must have shape (1 or heads=4, features, dim=3), got (8, 3)",
        ),
        (
            {"projection": torch.ones(4, 8, 3).int()},
            ConfigError,
            "projection must be floating-point, got torch.int32",
        ),
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
        (
            {"mask": Mask.window(2)},
            UnsupportedError,
            "mask must be causal, a choice of keys or both because Performer attention sums keys "
            "up before a query meets them, got Mask.window(2",
        ),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        performer_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        performer_weights(**given)
