"""Scaled dot-product attention as a mechanism: its op, with its scale."""

import torch

from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.scaled_dot import ScaledDot
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_is_the_op_with_its_scale():
    mechanism = ScaledDot(heads=4, dim=3, scale=0.7)
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    given = {"scale": 0.7, "mask": Mask.lengths(torch.tensor([4, 7]))}
    want = scaled_dot_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=given["mask"]), want)
    want = scaled_dot_weights(query, key, **given)
    assert torch.equal(mechanism.weights(query, key, mask=given["mask"]), want)


def test_works_inside_attention():
    mechanism = ScaledDot(heads=4, dim=3, scale=0.7)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=mechanism)
    x = draw(2, 7, 12)
    output = attention(x, mask=Mask.lengths(torch.tensor([0, 7])))
    assert torch.equal(output[0], attention.out.bias.expand(7, 12))
    output.square().sum().backward()
    assert attention.query.weight.grad.abs().max() > 0


def test_is_what_attention_does_without_a_mechanism():
    plain = Attention(width=12, heads=4, kv_heads=2)
    attention = Attention(width=12, heads=4, kv_heads=2, mechanism=ScaledDot(heads=4, dim=3))
    attention.load_state_dict(plain.state_dict())
    x = draw(2, 7, 12)
    assert torch.equal(attention(x, mask=Mask.causal()), plain(x, mask=Mask.causal()))
    assert torch.equal(attention.weights(x), plain.weights(x))
