"""Differential attention as a mechanism: its op, with its share and its norm."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.differential import Differential
from heedful.ops.differential import differential_attention, differential_weights
from heedful.testing.tolerance import assert_close, roundings

LIMIT = 2 * roundings(torch.float64, 6, 7, 6)
MASK = Mask.lengths(torch.tensor([4, 7]))


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def build(**settings):
    """A mechanism in which every number is random."""
    mechanism = Differential(heads=4, dim=6, **settings).double()
    for seed, parameter in enumerate(mechanism.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) / 2)
    return mechanism


def share(mechanism, start):
    """`lambda` by the paper's formula."""
    named = {name: parameter.detach() for name, parameter in mechanism.named_parameters()}
    first = sum(a * b for a, b in zip(named["query1"], named["key1"], strict=True))
    second = sum(a * b for a, b in zip(named["query2"], named["key2"], strict=True))
    return first.exp() - second.exp() + start


# 0.8 - 0.6 e^(-0.3 depth)
@pytest.mark.parametrize(
    "depth, start", [(0, 0.2), (1, 0.35550907591), (11, 0.77787010026)], ids=str
)
def test_the_share_is_that_of_the_paper(depth, start):
    mechanism = build(depth=depth)
    assert mechanism.start == pytest.approx(start)
    want = share(mechanism, mechanism.start).expand(4)
    assert_close(mechanism.subtracted(), want, roundings=LIMIT, largest=10.0)


def test_the_output_is_the_op_normed_head_by_head():
    mechanism = build(depth=2)
    query, key, value = draw(2, 4, 5, 6), draw(2, 2, 7, 6, seed=2), draw(2, 2, 7, 6, seed=3)
    given = {"subtracted": mechanism.subtracted(), "mask": MASK}
    weights = differential_weights(query, key, **given)
    assert torch.equal(mechanism.weights(query, key, mask=MASK), weights)
    mixed = differential_attention(query, key, value, **given)
    summed = mechanism.weights(query, key, mask=MASK) @ value.repeat_interleave(2, 1)
    assert_close(summed, mixed, roundings=LIMIT, largest=5.0)
    length = (mixed.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    want = mixed / length * mechanism.gain * (1 - mechanism.start)
    largest = want.abs().max().item()
    actual = mechanism(query, key, value, mask=MASK)
    assert_close(actual, want, roundings=LIMIT, largest=largest)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_rounded_once_at_the_end(dtype):
    mechanism, wide = build(depth=1).to(dtype), build(depth=1).float()
    wide.load_state_dict(mechanism.state_dict())
    query, key, value = (draw(2, 4, 5, 6, seed=n).to(dtype) for n in (1, 2, 3))
    want = wide(query.float(), key.float(), value.float()).to(dtype)
    assert torch.equal(mechanism(query, key, value), want)


def test_learns_inside_attention():
    mechanism = build(depth=3)
    attention = Attention(width=12, heads=4, dim=6, kv_heads=2, mechanism=mechanism).double()
    attention(draw(2, 7, 12), mask=Mask.causal()).square().sum().backward()
    assert len(list(mechanism.parameters())) == 5
    for name, parameter in [*mechanism.named_parameters(), ("query", attention.query.weight)]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_query_that_sees_nothing_gives_nothing_and_gets_no_gradient():
    mechanism = build()
    inputs = [draw(2, 4, 5, 6, seed=n).requires_grad_() for n in (1, 2, 3)]
    output = mechanism(*inputs, mask=Mask.lengths(torch.tensor([0, 4])))
    assert output[0].abs().max() == 0
    output.sum().backward()
    for x in inputs:
        assert x.grad[0].abs().max() == 0
        assert x.grad[1].abs().max() > 0
        assert x.grad.isfinite().all()


def test_gradients():
    mechanism = build()
    names, values = zip(*mechanism.named_parameters(), strict=True)
    inputs = [draw(1, 4, 3, 6, seed=n).requires_grad_() for n in (1, 2, 3)]

    def attend(query, key, value, *values):
        named = dict(zip(names, values, strict=True))
        return torch.func.functional_call(
            mechanism, named, (query, key, value), {"mask": Mask.causal()}
        )

    assert torch.autograd.gradcheck(attend, (*inputs, *values))


def test_rejects_values_of_another_dim():
    query = draw(2, 4, 5, 6)
    with pytest.raises(ShapeError, match="value must have dim 6 like the gain, got 3"):
        build()(query, query, query[..., :3])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dim": 3}, "dim must be even because it is halved, got 3"),
        ({"depth": -1}, "depth must not be negative, got -1"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Differential(**{"heads": 4, "dim": 6, **settings})
