"""A sink as a mechanism: its op, with its settings."""

import pytest
import torch

from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.sink import Sink
from heedful.ops.sink import sink_attention, sink_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("settings", [{}, {"learned": False}])
def test_is_the_op_with_its_settings(settings):
    mechanism = Sink(heads=4, dim=3, **settings).double()
    if mechanism.sink is not None:
        mechanism.sink.data += draw(4, seed=4)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.lengths(torch.tensor([6, 9]))
    given = {"sink": mechanism.sink}
    want = sink_attention(query, key, value, mask=mask, **given)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    want = sink_weights(query, key, mask=mask, **given)
    assert torch.equal(mechanism.weights(query, key, mask=mask), want)


@pytest.mark.parametrize("settings", [{}, {"learned": False}])
def test_learns_inside_attention(settings):
    mechanism = Sink(heads=4, dim=3, **settings)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x = draw(2, 9, 12)
    attention(x, mask=Mask.causal()).square().sum().backward()
    assert len(list(mechanism.parameters())) == (settings == {})
    for parameter in attention.parameters():
        assert parameter.grad.isfinite().all()
    for parameter in [*attention.query.parameters(), *mechanism.parameters()]:
        assert (parameter.grad != 0).all()
    assert attention.weights(x).shape == (2, 4, 9, 9)
