"""Attention with a sink keeps the contract, and can give weight to no key."""

import re

import pytest
import torch

from heedful.errors import ShapeError
from heedful.mask import Mask
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.ops.sink import sink_attention, sink_weights
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import normalisers
from heedful.testing.tolerance import assert_close, roundings


class TestSinkOfZero(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["sink"]


class TestSinkPerHead(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=sink_attention,
            weights=sink_weights,
            oracle=normalisers.sink,
            extras={"sink": "heads"},
            normalised=False,
        )


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_a_sink_is_one_more_key_without_a_value():
    # The further key has score 0 with every query, as a sink of 0 has.
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3)
    longer = torch.cat([key, torch.zeros(2, 2, 1, 3, dtype=torch.float64)], 2)
    want = scaled_dot_weights(query, longer)[..., :7]
    limit = 2 * roundings(torch.float64, 3, 8)
    assert_close(sink_weights(query, key), want, roundings=limit, largest=1.0)


def test_without_a_sink_it_is_plain_attention():
    query, key, mask = draw(2, 4, 5, 3), draw(2, 2, 7, 3), Mask.causal()
    far = torch.full((4,), -1e9)
    want = scaled_dot_weights(query, key, mask=mask)
    assert torch.equal(sink_weights(query, key, sink=far, mask=mask), want)


@pytest.mark.parametrize("sink", [1e4, -1e4])
@pytest.mark.parametrize("score", [1e4, -1e4])
def test_nothing_overflows(score, sink):
    query = torch.ones(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    key = torch.full((1, 1, 2, 1), score, dtype=torch.float64)
    given = torch.tensor([sink], dtype=torch.float64, requires_grad=True)
    weights = sink_weights(query, key, sink=given)
    want = {(1e4, 1e4): 1 / 3, (1e4, -1e4): 0.5, (-1e4, 1e4): 0.0, (-1e4, -1e4): 1 / 3}
    assert weights.flatten().tolist() == pytest.approx([want[score, sink]] * 2)
    weights[..., 0].sum().backward()
    assert query.grad.isfinite().all()
    assert given.grad.isfinite().all()


def test_rejects_a_sink_that_does_not_fit():
    message = re.escape("sink must have shape (heads=4), got (2,)")
    with pytest.raises(ShapeError, match=message):
        sink_weights(draw(2, 4, 5, 3), draw(2, 2, 7, 3), sink=torch.zeros(2))
