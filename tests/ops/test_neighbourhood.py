"""Neighbourhood attention keeps the contract, on grids too, and never makes the whole matrix."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.neighbourhood import neighbourhood_attention, neighbourhood_weights
from heedful.ops.scaled_dot import scaled_dot_attention
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle import reach
from heedful.testing.tolerance import assert_close, roundings

# shape, window: one axis and several, tiles that do not divide it, windows as wide or wider
GRIDS = [
    ((12,), (3,)),
    ((12,), (5,)),
    ((3, 4), (3, 3)),
    ((4, 3), (1, 3)),
    ((2, 6), (3, 5)),
    ((3, 2, 2), (3, 1, 1)),
    ((12,), (13,)),
    ((3, 4), (3, 5)),
]
SIZES = Sizes(queries=12, keys=12, kv_heads=2, value_dim=5)


class TestNeighbourhood(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["neighbourhood"]


def draw(sizes=SIZES, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    axes = [
        (sizes.heads, sizes.queries, sizes.dim),
        (sizes.kv_heads, sizes.keys, sizes.dim),
        (sizes.kv_heads, sizes.keys, sizes.value_dim),
    ]
    return [torch.randn(sizes.batch, *shape, generator=generator).to(dtype) for shape in axes]


@pytest.mark.parametrize("shape, window", GRIDS, ids=str)
@pytest.mark.parametrize("kind", MASKS)
def test_is_the_oracle_on_every_grid(kind, shape, window):
    query, key, value = draw()
    mask, sees = MASKS[kind](SIZES)
    settings = {"shape": shape, "window": window, "scale": 0.7}
    arrays = (x.numpy() for x in (query, key, value))
    weights, output = map(torch.from_numpy, reach.neighbourhood(*arrays, sees=sees, **settings))
    limit = roundings(torch.float64, 3, 12, 12)
    actual = neighbourhood_attention(query, key, value, mask=mask, **settings)
    assert_close(actual, output, roundings=limit, largest=value.abs().max().item())
    actual = neighbourhood_weights(query, key, mask=mask, **settings)
    assert_close(actual, weights, roundings=limit, largest=1.0)


@pytest.mark.parametrize("shape, window", GRIDS, ids=str)
def test_every_query_sees_equally_many(shape, window):
    query, key, _ = draw()
    area = 1
    for size, width in zip(shape, window, strict=True):
        area *= min(size, width)
    weights = neighbourhood_weights(query, key, shape=shape, window=window)
    assert ((weights > 0).sum(-1) == area).all()


@pytest.mark.parametrize("shape, window", [((7, 11), (3, 5)), ((5, 8), (5, 1)), ((41,), (7,))])
def test_gradients_are_those_of_scaled_dot(shape, window):
    places = torch.Size(shape).numel()
    sizes = Sizes(queries=places, keys=places, kv_heads=2)
    tensors = [x.requires_grad_() for x in draw(sizes)]
    mask = Mask.lengths(torch.tensor([places - 5, places]))
    one = neighbourhood_attention(*tensors, shape=shape, window=window, mask=mask)
    other = scaled_dot_attention(*tensors, mask=Mask.neighbourhood(shape, window) & mask)
    limit = roundings(one.dtype, places, places, 3)
    assert_close(one, other, roundings=limit, largest=tensors[2].abs().max().item())
    shape = torch.randn(one.shape, generator=torch.Generator().manual_seed(2), dtype=one.dtype)
    pairs = zip(*(torch.autograd.grad(x, tensors, shape) for x in (one, other)), strict=True)
    for actual, want in pairs:
        assert_close(actual, want, roundings=limit, largest=max(20.0, want.abs().max().item()))


def test_what_a_query_does_not_see_cannot_matter_to_it():
    query, key, value = draw(Sizes(queries=12, keys=12))
    settings = {"shape": (3, 4), "window": (3, 1), "mask": Mask.dense(torch.ones(12, 12) > 0)}
    before = neighbourhood_attention(query, key, value, **settings)
    visible = Mask.neighbourhood((3, 4), (3, 1)).to_bool(12, 12)
    for i in range(12):
        hidden = ~visible[:, :, i, :, None]
        others = key.masked_fill(hidden, 100.0), value.masked_fill(hidden, -1e6)
        after = neighbourhood_attention(query, *others, **settings)
        assert torch.equal(after[:, :, i], before[:, :, i])


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward+backward"])
@pytest.mark.parametrize("mask", [None, Mask.causal()], ids=["none", "causal"])
def test_largest_tensor_is_as_small_as_promised(mask, backward):
    side, width = 30, 5
    tensors = [torch.ones(1, 1, side * side, 3, requires_grad=backward) for _ in range(3)]

    def run():
        output = neighbourhood_attention(
            *tensors, shape=(side, side), window=(width, width), mask=mask
        )
        if backward:
            output.sum().backward()

    assert measure(run).largest <= 4 * width**2 * side**2 < side**4 / 8


def test_a_window_wider_than_the_grid_costs_no_more_than_the_grid():
    query, key, value = draw()
    cost = measure(
        lambda: neighbourhood_attention(query, key, value, shape=(2, 6), window=(9999, 999))
    )
    assert cost.largest <= 2 * 4 * 12 * 12


@pytest.mark.parametrize(
    "settings, error, message",
    [
        (
            {"shape": (3, 5), "window": (3, 3)},
            ShapeError,
            "a grid of shape (3, 5) must have 15 queries and keys, got queries=12, keys=12",
        ),
        (
            {"shape": (3, 4), "window": (3, 2)},
            ConfigError,
            "window must be odd and at least 1 on every axis, got (3, 2)",
        ),
        (
            {"shape": (12,), "window": (3,), "mask": Mask.lengths(torch.tensor([1, 2, 3]))},
            ShapeError,
            "lengths must have one entry per batch row, got 3 for batch=2",
        ),
        (
            {"shape": (12,), "window": (3,), "mask": Mask.lengths(torch.tensor([1, 13]))},
            ConfigError,
            "lengths must not exceed keys, got 13 for keys=12",
        ),
    ],
)
def test_rejects_what_does_not_fit(settings, error, message):
    query, key, value = draw()
    with pytest.raises(error, match=re.escape(message)):
        neighbourhood_attention(query, key, value, **settings)
    with pytest.raises(error, match=re.escape(message)):
        neighbourhood_weights(query, key, **settings)
    message = "a grid of shape (12,) must have 12 queries and keys, got queries=12, keys=11"
    with pytest.raises(ShapeError, match=re.escape(message)):
        neighbourhood_attention(query, key[:, :, 1:], value[:, :, 1:], shape=(12,), window=(3,))
