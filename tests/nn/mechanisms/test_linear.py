"""Linear attention as a mechanism: its op."""

import torch

from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.linear import Linear
from heedful.ops.linear import linear_attention, linear_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_the_op():
    mechanism = Linear(heads=4, dim=3)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 9, 3, seed=2), draw(2, 2, 9, 6, seed=3)
    mask = Mask.causal() & Mask.lengths(torch.tensor([6, 9]))
    want = linear_attention(query, key, value, mask=mask)
    assert torch.equal(mechanism(query, key, value, mask=mask), want)
    assert torch.equal(
        mechanism.weights(query, key, mask=mask), linear_weights(query, key, mask=mask)
    )


def test_has_nothing_to_learn_or_to_save():
    assert list(Linear(heads=4, dim=3).state_dict()) == []


def test_works_inside_attention():
    torch.manual_seed(5)
    mechanism = Linear(heads=4, dim=3)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism).double()
    x, mask = draw(2, 9, 12), Mask.causal()
    output = attention(x, mask=mask)
    assert output.shape == x.shape
    assert attention.weights(x, mask=mask).shape == (2, 4, 9, 9)
    output.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
