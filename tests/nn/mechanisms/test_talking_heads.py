"""Talking-heads attention as a mechanism: its op, with its mixes."""

import torch

from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.talking_heads import TalkingHeads
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.ops.talking_heads import talking_heads_attention, talking_heads_weights
from heedful.testing.tolerance import assert_close, roundings


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_is_the_op_with_its_parameters():
    mechanism = TalkingHeads(heads=4, dim=3)
    with torch.no_grad():
        mechanism.score_mix.copy_(draw(4, 4, seed=4))
        mechanism.weight_mix.copy_(draw(4, 4, seed=5))
    query, key, value = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
    given = {
        "score_mix": mechanism.score_mix,
        "weight_mix": mechanism.weight_mix,
        "mask": Mask.lengths(torch.tensor([4, 7])),
    }
    want = talking_heads_attention(query, key, value, **given)
    assert torch.equal(mechanism(query, key, value, mask=given["mask"]), want)
    want = talking_heads_weights(query, key, **given)
    assert torch.equal(mechanism.weights(query, key, mask=given["mask"]), want)


def test_learns_inside_attention():
    mechanism = TalkingHeads(heads=4, dim=3)
    with torch.no_grad():
        mechanism.score_mix.copy_(draw(4, 4, seed=4))
        mechanism.weight_mix.copy_(draw(4, 4, seed=5))
    attention = Attention(width=12, heads=4, dim=3, kv_heads=2, mechanism=mechanism)
    attention(draw(2, 7, 12), mask=Mask.causal()).square().sum().backward()
    assert list(mechanism.parameters())
    for name, parameter in [*mechanism.named_parameters(), ("query", attention.query.weight)]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_starts_from_scaled_dot_attention():
    query, key = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2)
    want = scaled_dot_weights(query, key)
    actual = TalkingHeads(heads=4, dim=3).weights(query, key)
    assert_close(actual, want, roundings=2 * roundings(want.dtype, 3, 4, 4, 7), largest=1.0)
