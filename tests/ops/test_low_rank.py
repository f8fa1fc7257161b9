"""Low-rank attention keeps the contract and its promise, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.ops.low_rank import factorise, low_rank_attention, low_rank_weights
from heedful.ops.scaled_dot import scaled_dot_attention
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.masks import Sizes
from heedful.testing.oracle import scaled_dot
from heedful.testing.tolerance import assert_close, roundings


class TestLowRank(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["low_rank"]


def turned(rank, sizes, generator):
    """Some axes of a random orthonormal basis: few of them are among the many."""
    drawn = torch.randn(sizes.heads, 8, 8, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(drawn[:, : sizes.dim, : sizes.dim]).Q[..., :rank]
    return {"query_projection": basis, "key_projection": basis}


class TestPromise(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=low_rank_attention,
            exact=scaled_dot,
            budgets=[1, 2, 4, 8],
            settings=turned,
            full=lambda sizes: sizes.dim,
            growth="quadratic",
            masks=["none", "causal", "lengths", "empty_text", "dense", "blocks"],
            sizes=Sizes(batch=1, heads=2, kv_heads=2, queries=16, keys=16, dim=8),
            lengths=(32, 64, 128),
        )


def tensors(**changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, 5, 3, generator=generator),
        "key": torch.randn(2, 2, 7, 3, generator=generator),
        "value": torch.randn(2, 2, 7, 6, generator=generator),
        "query_projection": torch.randn(4, 3, 2, generator=generator),
        "key_projection": torch.randn(4, 3, 2, generator=generator),
    } | changed


def test_it_is_the_exact_function_of_projected_inputs():
    given = tensors()
    key, value = (given[name].repeat_interleave(2, 1) for name in ("key", "value"))
    small = (given["query"] @ given["query_projection"], key @ given["key_projection"])
    want = scaled_dot_attention(*small, value, scale=1 / 3**0.5)
    torch.testing.assert_close(low_rank_attention(**given), want)
    want = scaled_dot_attention(*small, value, scale=0.25)
    torch.testing.assert_close(low_rank_attention(**given, scale=0.25), want)


@pytest.mark.parametrize(
    "changed, error, message",
    [
        (
            {"query_projection": torch.ones(2, 3, 2)},
            ShapeError,
            "query_projection must have shape (heads=4, dim=3, rank), got (2, 3, 2)",
        ),
        (
            {"key_projection": torch.ones(4, 5, 2)},
            ShapeError,
            "key_projection must have shape (heads=4, dim=3, rank), got (4, 5, 2)",
        ),
        (
            {"key_projection": torch.ones(4, 3, 1)},
            ShapeError,
            "query_projection and key_projection must have the same rank, got 2 and 1",
        ),
        (
            {"key_projection": torch.ones(4, 3, 2, dtype=torch.int32)},
            ConfigError,
            "key_projection must be floating-point, got torch.int32",
        ),
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        low_rank_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        low_rank_weights(**given)


# ---- factorise -----------------------------------------------------------------------------------


def drawn_weights(heads=4, kv_heads=2, dim=5, width=7):
    generator = torch.Generator().manual_seed(8)
    shapes = ((heads, dim, width), (kv_heads, dim, width))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def scores(query_weight, key_weight, projections=None):
    """`W_q^T A B^T W_k`, of every head."""
    key_weight = key_weight.repeat_interleave(len(query_weight) // len(key_weight), 0)
    if projections is None:
        return query_weight.mT @ key_weight
    query_projection, key_projection = projections
    return (query_weight.mT @ query_projection) @ (key_weight.mT @ key_projection).mT


@pytest.mark.parametrize("width", [7, 5, 3])
def test_error_is_what_no_matrix_of_that_rank_can_avoid(width):
    weights = drawn_weights(width=width)
    whole = scores(*weights)
    sizes = torch.linalg.svdvals(whole)
    largest = sizes.max().item()
    limit = roundings(torch.float64, 5, 5, width, width, width)
    before = torch.full((4,), float("inf"), dtype=torch.float64)
    for rank in range(1, min(5, width) + 1):
        projections = factorise(*weights, rank=rank)
        assert [tuple(x.shape) for x in projections] == [(4, 5, rank)] * 2
        error = (scores(*weights, projections) - whole).flatten(1).norm(dim=1)
        want = sizes[:, rank:].square().sum(1).sqrt()
        # the error of a product of matrices as large as these, once for every entry
        assert_close(error, want, roundings=limit * width, largest=largest)
        assert (error < before).all()
        before = error
    assert_close(before, torch.zeros(4), roundings=limit * width, largest=largest)


def test_weights_of_a_low_rank_lose_nothing():
    query_weight, key_weight = drawn_weights()
    query_weight[:, 3:] = 0.0  # two of five directions carry nothing, and two are one
    key_weight[:, 2] = key_weight[:, 1]
    whole = scores(query_weight, key_weight)
    limit = roundings(torch.float64, 5, 5, 7, 7, 7)
    for rank in (3, 4, 5):
        projections = factorise(query_weight, key_weight, rank=rank)
        assert not any(x[..., 2:].any() for x in projections)  # two directions are left
        actual = scores(query_weight, key_weight, projections)
        assert_close(actual, whole, roundings=limit, largest=whole.abs().max().item())


def test_weights_of_zero_give_projections_of_zero():
    query_weight, key_weight = drawn_weights()
    for projection in factorise(query_weight * 0, key_weight, rank=3):
        assert not projection.any()


def test_half_precision_is_computed_in_float32():
    weights = [x.bfloat16() for x in drawn_weights()]
    for actual, want in zip(
        factorise(*weights, rank=3), factorise(*(x.float() for x in weights), rank=3), strict=True
    ):
        assert torch.equal(actual, want)


@pytest.mark.parametrize("rank", [1, 3])
def test_its_projections_serve_the_op(rank):
    query_weight, key_weight = drawn_weights()
    x, y = tensors()["value"][:, :1].double(), tensors()["value"][:, 1:].double()
    x, y = torch.cat([x, x[..., :1]], -1), torch.cat([y, y[..., :1]], -1)  # width 7
    projections = factorise(query_weight, key_weight, rank=rank)
    actual = low_rank_weights(
        x @ query_weight.mT, y @ key_weight.mT, **projections._asdict(), scale=1.0
    )
    want = (x @ scores(query_weight, key_weight, projections) @ y.mT).softmax(-1)
    limit = roundings(torch.float64, 7, 7, 7, 5, 5, rank)
    assert_close(actual, want, roundings=limit, largest=(x @ x.mT).max().item())


@pytest.mark.parametrize(
    "query_weight, key_weight, rank, error, message",
    [
        (
            torch.ones(4, 5, 7),
            torch.ones(2, 5, 7),
            0,
            ConfigError,
            "rank must be from 1 to 5, got 0",
        ),
        (
            torch.ones(4, 5, 3),
            torch.ones(2, 5, 3),
            4,
            ConfigError,
            "rank must be from 1 to 3, got 4",
        ),
        (torch.ones(4, 5, 7), torch.ones(3, 5, 7), 1, ShapeError, "kv_heads=3, heads=4"),
        (
            torch.ones(4, 5, 7),
            torch.ones(2, 5, 6),
            1,
            ShapeError,
            "query_weight and key_weight must have the same dim and width, got (5, 7) and (5, 6)",
        ),
        (
            torch.ones(5, 7),
            torch.ones(2, 5, 7),
            1,
            ShapeError,
            "query_weight must be 3-D (heads, dim, width), got a tensor of shape (5, 7)",
        ),
        (
            torch.ones(4, 5, 7),
            torch.ones(2, 5, 7).int(),
            1,
            ConfigError,
            "key_weight must be floating-point, got torch.int32",
        ),
    ],
)
def test_factorise_rejects(query_weight, key_weight, rank, error, message):
    with pytest.raises(error, match=re.escape(message)):
        factorise(query_weight, key_weight, rank=rank)
