"""Window attention keeps the contract, in small chunks too, and never makes the whole matrix."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops import _band
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.ops.window import window_attention, window_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings


class TestWindow(AttentionContract):
    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch):
        monkeypatch.setattr(_band, "CHUNK", 1)

    @pytest.fixture
    def claim(self):
        return CLAIMS["window"]


def draw(*, queries, keys, heads=4, kv_heads=2, dim=3, value_dim=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = ((heads, queries, dim), (kv_heads, keys, dim), (kv_heads, keys, value_dim))
    return [torch.randn(2, *shape, generator=generator).to(dtype) for shape in shapes]


def same(actual, want, *, keys, dim=3):
    limit = 2 * roundings(actual.dtype, dim, keys, keys)
    assert_close(actual, want, roundings=limit, largest=5.0)


@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("window, ahead, sinks", [(1, 0, 0), (3, 2, 1), (5, 0, 30), (40, 40, 2)])
@pytest.mark.parametrize("queries, keys", [(23, 23), (9, 31), (31, 9), (1, 17), (17, 1)])
def test_is_scaled_dot_with_the_mask(queries, keys, window, ahead, sinks, chunk, monkeypatch):
    monkeypatch.setattr(_band, "CHUNK", chunk)
    tensors = draw(queries=queries, keys=keys)
    near = Mask.window(window, ahead=ahead, sinks=sinks)
    settings = {"window": window, "ahead": ahead, "sinks": sinks, "scale": 0.7}
    for name in ("none", "causal", "empty_text", "dense", "either", "anticausal"):
        mask, _ = MASKS[name](Sizes(queries=queries, keys=keys, batch=2)) if keys > 2 else (None, 0)
        both = near if mask is None else near & mask
        actual = window_attention(*tensors, mask=mask, **settings)
        same(actual, scaled_dot_attention(*tensors, mask=both, scale=0.7), keys=keys)
        weights = window_weights(*tensors[:2], mask=mask, **settings)
        assert torch.equal(weights, scaled_dot_weights(*tensors[:2], mask=both, scale=0.7))


def test_gradients_are_those_of_scaled_dot(monkeypatch):
    monkeypatch.setattr(_band, "CHUNK", 2)
    tensors = [x.requires_grad_() for x in draw(queries=11, keys=13)]
    mask = Mask.lengths(torch.tensor([9, 13]))
    one = window_attention(*tensors, window=3, ahead=1, sinks=2, mask=mask)
    other = scaled_dot_attention(*tensors, mask=Mask.window(3, ahead=1, sinks=2) & mask)
    shape = torch.randn(one.shape, generator=torch.Generator().manual_seed(2), dtype=one.dtype)
    pairs = zip(*(torch.autograd.grad(x, tensors, shape) for x in (one, other)), strict=True)
    for actual, want in pairs:
        assert_close(actual, want, roundings=roundings(actual.dtype, 13, 13, 11, 3), largest=20.0)


def test_what_a_query_does_not_see_cannot_matter_to_it(monkeypatch):
    monkeypatch.setattr(_band, "CHUNK", 2)
    settings = {"window": 3, "ahead": 1, "sinks": 2, "mask": MASKS["dense"](Sizes())[0]}
    query, key, value = draw(queries=5, keys=7, kv_heads=4)
    before = window_attention(query, key, value, **settings)
    near = Mask.window(3, ahead=1, sinks=2) & settings["mask"]
    visible = near.to_bool(5, 7, batch=2, heads=4)
    for i in range(5):
        hidden = ~visible[:, :, i, :, None]
        assert hidden.any()
        others = key.masked_fill(hidden, 100.0), value.masked_fill(hidden, -1e6)
        after = window_attention(query, *others, **settings)
        assert torch.equal(after[:, :, i], before[:, :, i])


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward+backward"])
@pytest.mark.parametrize(
    "mask", [None, Mask.causal(), "lengths"], ids=["none", "causal", "lengths"]
)
@pytest.mark.parametrize("window, ahead, sinks", [(20, 0, 4), (80, 20, 4), (1, 0, 0)])
def test_largest_tensor_is_as_small_as_promised(window, ahead, sinks, mask, backward):
    length = 1500
    mask = Mask.lengths(torch.tensor([length])) if mask == "lengths" else mask
    tensors = [torch.ones(1, 1, length, 2, requires_grad=backward) for _ in range(3)]

    def run():
        output = window_attention(*tensors, window=window, ahead=ahead, sinks=sinks, mask=mask)
        if backward:
            output.sum().backward()

    near = window + ahead
    scores = max(2 * near, near + 64) + sinks
    padded = length + max(near, 64)
    assert measure(run).largest <= padded * scores < length * length / 6


@pytest.mark.parametrize("settings", [{"window": 10**9}, {"window": 1, "ahead": 10**9}], ids=str)
def test_a_window_wider_than_the_text_costs_no_more_than_the_text(settings):
    tensors = [torch.ones(1, 1, 100, 2) for _ in range(3)]
    cost = measure(lambda: window_attention(*tensors, sinks=10**9, **settings))
    assert cost.largest <= 100 * (2 * 100 + 100)


def test_a_step_of_decoding_looks_at_the_window_only():
    query, key, value = draw(queries=1, keys=5000)
    flops = measure(lambda: window_attention(query, key, value, window=30, sinks=4)).flops
    assert flops == 2 * 2 * 4 * 34 * (3 + 5)


@pytest.mark.parametrize("queries, keys", [(0, 5), (5, 0), (0, 0)])
def test_nothing_gives_nothing(queries, keys):
    tensors = draw(queries=queries, keys=keys)
    output = window_attention(*tensors, window=3, sinks=2, mask=Mask.causal())
    assert torch.equal(output, torch.zeros(2, 4, queries, 5, dtype=torch.float64))


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"window": 0}, ConfigError, "window must be at least 1, got 0"),
        ({"window": 2, "ahead": -1}, ConfigError, "ahead must not be negative, got -1"),
        ({"window": 2, "sinks": -3}, ConfigError, "sinks must not be negative, got -3"),
        (
            {"window": 2, "mask": Mask.lengths(torch.tensor([1, 2, 3]))},
            ShapeError,
            "lengths must have one entry per batch row, got 3 for batch=2",
        ),
        (
            {"window": 2, "mask": Mask.lengths(torch.tensor([1, 8]))},
            ConfigError,
            "lengths must not exceed keys, got 8 for keys=7",
        ),
    ],
)
def test_rejects_what_does_not_fit(settings, error, message):
    query, key, value = draw(queries=5, keys=7)
    with pytest.raises(error, match=re.escape(message)):
        window_attention(query, key, value, **settings)
    with pytest.raises(error, match=re.escape(message)):
        window_weights(query, key, **settings)
    with pytest.raises(ShapeError, match="key and value must have the same length, got 7 and 6"):
        window_attention(query, key, value[:, :, :6], window=2)
