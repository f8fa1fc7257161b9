"""Additive attention as a mechanism: its op, with its vectors."""

import torch

from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.additive import Additive
from heedful.ops.additive import additive_attention, additive_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_is_the_op_with_its_parameters():
    mechanism = Additive(heads=4, dim=3)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    given = {"score_weight": mechanism.score_weight, "mask": Mask.lengths(torch.tensor([4, 7]))}
    want = additive_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=given["mask"]), want)
    want = additive_weights(query, key, **given)
    assert torch.equal(mechanism.weights(query, key, mask=given["mask"]), want)


def test_learns_inside_attention():
    mechanism = Additive(heads=4, dim=3)
    attention = Attention(width=12, heads=4, dim=3, kv_heads=2, mechanism=mechanism)
    attention(draw(2, 7, 12), mask=Mask.causal()).square().sum().backward()
    assert list(mechanism.parameters())
    for name, parameter in [*mechanism.named_parameters(), ("query", attention.query.weight)]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
