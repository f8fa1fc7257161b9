"""Dot-product attention as a mechanism: its op, with nothing to learn."""

import torch

from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.dot import Dot
from heedful.ops.dot import dot_attention, dot_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_is_the_op_with_its_own_name():
    mechanism = Dot(heads=4, dim=3)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    given = {"mask": Mask.lengths(torch.tensor([4, 7]))}
    want = dot_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=given["mask"]), want)
    want = dot_weights(query, key, **given)
    assert torch.equal(mechanism.weights(query, key, mask=given["mask"]), want)


def test_works_inside_attention():
    mechanism = Dot(heads=4, dim=3)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism)
    x = draw(2, 7, 12)
    output = attention(x, mask=Mask.lengths(torch.tensor([0, 7])))
    assert torch.equal(output[0], attention.out.bias.expand(7, 12))
    output.square().sum().backward()
    assert attention.query.weight.grad.abs().max() > 0
