"""Adaptive span keeps the contract, skips what no head sees, and lets spans learn."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops import _band
from heedful.ops.adaptive_span import adaptive_span_attention, adaptive_span_weights
from heedful.ops.scaled_dot import scaled_dot_attention
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.cost import measure
from heedful.testing.tolerance import assert_close, roundings


class TestAdaptiveSpan(AttentionContract):
    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch):
        monkeypatch.setattr(_band, "CHUNK", 1)

    @pytest.fixture
    def claim(self):
        return CLAIMS["adaptive_span"]


def draw(*, queries=5, keys=7, heads=4, kv_heads=2, dim=3, value_dim=6):
    generator = torch.Generator().manual_seed(1)
    shapes = ((heads, queries, dim), (kv_heads, keys, dim), (kv_heads, keys, value_dim))
    return [torch.randn(2, *shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_weights_by_hand():
    query = torch.zeros(1, 2, 1, 3)
    weights = adaptive_span_weights(
        query, torch.ones(1, 1, 6, 3), span=torch.tensor([1.0, 0.0]), ramp=4.0
    )
    # distances 5 4 3 2 1 0; (4 + span - distance) / 4, and not above 1
    amounts = torch.tensor([[0.0, 0.25, 0.5, 0.75, 1, 1], [0, 0, 0.25, 0.5, 0.75, 1]])
    assert_close(
        weights[0, :, 0], amounts / amounts.sum(-1, keepdim=True), roundings=4, largest=1.0
    )


@pytest.mark.parametrize("chunk", [1, 3, 64])
@pytest.mark.parametrize("queries, keys", [(23, 23), (9, 31), (31, 9), (1, 17)])
@pytest.mark.parametrize("longest", [-9.0, 0.0, 3.5, 100.0, float("inf")])
def test_skipping_changes_nothing(longest, queries, keys, chunk, monkeypatch):
    monkeypatch.setattr(_band, "CHUNK", chunk)
    query, key, value = draw(queries=queries, keys=keys)
    settings = {"span": torch.tensor([-9.0, 0.0, 0.5, longest]), "ramp": 2.0, "scale": 0.7}
    mask = Mask.lengths(torch.tensor([keys, keys - 1]))
    weights = adaptive_span_weights(query, key, mask=mask, **settings)
    output = adaptive_span_attention(query, key, value, mask=mask, **settings)
    want = weights @ value.repeat_interleave(2, 1)
    largest = value.abs().max().item()
    assert_close(output, want, roundings=2 * roundings(want.dtype, keys, keys, 3), largest=largest)


def test_a_span_beyond_the_text_is_causal_attention():
    query, key, value = draw()
    output = adaptive_span_attention(query, key, value, span=torch.full((4,), 7.0), ramp=0.1)
    want = scaled_dot_attention(query, key, value, mask=Mask.causal())
    limit = 2 * roundings(want.dtype, 7, 7, 3)
    assert_close(output, want, roundings=limit, largest=value.abs().max().item())


def test_keys_beyond_every_span_are_not_looked_at():
    query, key, value = draw(queries=1, keys=5000)
    span = torch.tensor([3.0, 20.0, 0.0, 7.0])

    def run():
        adaptive_span_attention(query, key, value, span=span, ramp=10.0)

    cost = measure(run)
    keys = 31  # up to the distance 20 + 10
    assert cost.flops == 2 * 2 * 4 * keys * (3 + 6)
    nan = torch.full_like(key, float("nan"))
    nan[:, :, -keys:] = key[:, :, -keys:]
    output = adaptive_span_attention(query, nan, value, span=span, ramp=10.0)
    assert output.isfinite().all()


@pytest.mark.parametrize("head, reach", [(0, 1), (1, 3), (2, 6)])
def test_what_lies_beyond_the_span_of_a_head_cannot_matter_to_it(head, reach):
    query, key, value = draw(queries=1, kv_heads=4)
    settings = {"span": torch.tensor([-1.0, 1.0, 4.0, 50.0]), "ramp": 2.0}
    far_key, far_value = key.clone(), value.clone()
    far_key[:, :, :-reach] = 1e5 * query  # scores that would swamp all others
    far_value[:, :, :-reach] = -1e6
    before = adaptive_span_attention(query, key, value, **settings)
    after = adaptive_span_attention(query, far_key, far_value, **settings)
    assert torch.equal(after[:, head], before[:, head])
    assert not torch.equal(after[:, 3], before[:, 3])
    before = adaptive_span_weights(query, key, **settings)
    assert torch.equal(adaptive_span_weights(query, far_key, **settings)[:, head], before[:, head])
    assert (before[:, head] > 0).sum(-1).flatten().tolist() == [reach] * 2


def test_spans_below_the_ramp_see_nothing():
    query, key, value = draw()
    output = adaptive_span_attention(query, key, value, span=torch.full((4,), -99.0), ramp=2.0)
    assert torch.equal(output, torch.zeros_like(output))


def test_a_text_is_looked_at_in_a_band():
    length = 1500
    tensors = [torch.ones(1, 1, length, 2, requires_grad=True) for _ in range(3)]
    span = torch.tensor([40.0], requires_grad=True)

    def run():
        adaptive_span_attention(*tensors, span=span, ramp=10.0).sum().backward()

    assert measure(run).largest <= (length + 64) * (64 + 51) < length * length / 8


def test_a_span_learns_where_its_ramp_lies_on_the_text():
    query, key, value = draw(queries=7)
    span = torch.tensor([0.5, 2.0, 50.0, -20.0], dtype=torch.float64, requires_grad=True)
    output = adaptive_span_attention(query, key, value, span=span, ramp=2.0)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((output * weight).sum(), span)
    assert (gradient != 0).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"ramp": 0.0}, ConfigError, "ramp must be above 0, got 0.0"),
        ({"ramp": -2.0}, ConfigError, "ramp must be above 0, got -2.0"),
        ({"ramp": float("nan")}, ConfigError, "ramp must be above 0, got nan"),
        (
            {"span": torch.ones(2)},
            ShapeError,
            "span must have shape (heads=4), got (2,)",
        ),
        (
            {"span": torch.ones(4).long()},
            ConfigError,
            "span must be floating-point, got torch.int64",
        ),
        (
            {"mask": Mask.lengths(torch.tensor([1, 2, 3]))},
            ShapeError,
            "lengths must have one entry per batch row, got 3 for batch=2",
        ),
    ],
)
def test_rejects_what_does_not_fit(settings, error, message):
    query, key, value = draw()
    settings = {"span": torch.ones(4), "ramp": 3.0} | settings
    with pytest.raises(error, match=re.escape(message)):
        adaptive_span_attention(query, key, value, **settings)
    with pytest.raises(error, match=re.escape(message)):
        adaptive_span_weights(query, key, **settings)
