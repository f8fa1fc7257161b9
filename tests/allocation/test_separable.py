"""Separate projections are the formula of `Projections`, whatever their sizes."""

import re

import pytest
import torch

from heedful.allocation.mask_and_bias import MaskAndBias
from heedful.allocation.projections import Geometry, Mixing
from heedful.allocation.separable import Separable
from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.testing import oracle
from heedful.testing.tolerance import assert_close, roundings

SIZES = {"width": 12, "context": 10, "out": 9, "heads": 4, "kv_heads": 2, "dim": 3, "value_dim": 5}
BAND = roundings(torch.float64, 12, 12, 3, 7, 4 * 5)


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(*, biased=True, dropout=0.0, **sizes):
    core = Separable(Geometry(**SIZES | sizes), biased=biased, dropout=dropout).double()
    with torch.no_grad():
        for seed, parameter in enumerate(core.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.3)
    return core


def expected(core, query, key, value, sees, added):
    """The formula, with the loops of the oracle between the projections."""
    geometry = core.geometry

    def heads(linear, x, dim):
        flat = x.numpy() @ linear.weight.detach().numpy().T
        flat = flat if linear.bias is None else flat + linear.bias.detach().numpy()
        return flat.reshape(*flat.shape[:2], -1, dim).transpose(0, 2, 1, 3)

    weights, mixed = oracle.scaled_dot(
        heads(core.query, query, geometry.dim),
        heads(core.key, key, geometry.dim),
        heads(core.value, value, geometry.value_dim),
        lambda batch, head, i, j: bool(sees[i, j]),
        bias=added.expand(2, 4, 5, 7).numpy(),
    )
    flat = mixed.transpose(0, 2, 1, 3).reshape(*query.shape[:2], -1)
    out = flat @ core.out.weight.detach().numpy().T + core.out.bias.detach().numpy()
    return torch.from_numpy(out), torch.from_numpy(weights)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@torch.no_grad()
def test_is_its_formula(kv_heads, biased, need_weights):
    core = build(kv_heads=kv_heads, biased=biased)
    inputs = draw(2, 5, 12), draw(2, 7, 10, seed=2), draw(2, 7, 10, seed=3)
    sees, added = torch.ones(5, 7).tril(2).bool(), draw(5, 7, seed=4)
    want, shown = expected(core, *inputs, sees, added)
    mask_and_bias = MaskAndBias(Mask.dense(sees), added)
    actual, weights = core(*inputs, mask_and_bias, need_weights=need_weights)
    assert_close(actual, want, roundings=BAND, largest=want.abs().max().item() * 4)
    assert (weights is not None) == need_weights
    if need_weights:
        assert_close(weights, shown, roundings=BAND, largest=1.0)


@torch.no_grad()
def test_a_mechanism_mixes_instead():
    mixing = Mixing(name="window", settings={"window": 2, "sinks": 1})
    core, x = build(mixing=mixing, context=12), draw(2, 7, 12)
    plain = build(context=12)
    mask_and_bias = MaskAndBias(Mask.lengths(torch.tensor([7, 5])))
    want, shown = plain(
        x, x, x, mask_and_bias & MaskAndBias(Mask.window(2, sinks=1)), need_weights=True
    )
    for need_weights in (False, True):
        actual, weights = core(x, x, x, mask_and_bias, need_weights=need_weights)
        assert_close(actual, want, roundings=BAND, largest=want.abs().max().item() * 4)
    assert_close(weights, shown, roundings=BAND, largest=1.0)
    added = mask_and_bias & MaskAndBias(bias=torch.zeros(7, 7))
    assert torch.equal(core(x, x, x, added)[0], core(x, x, x, mask_and_bias)[0])


def test_a_mechanism_takes_no_numbers():
    core, x = build(mixing=Mixing(name="window"), context=12), draw(2, 7, 12)
    message = "a mask must only hide where Window mixes, got numbers to add to the scores"
    with pytest.raises(UnsupportedError, match=message):
        core(x, x, x, MaskAndBias(bias=torch.ones(7, 7)))


def test_a_mechanism_drops_no_weights():
    with pytest.raises(UnsupportedError, match=re.escape("dropout must be 0 with a mechanism")):
        build(mixing=Mixing(name="window"), dropout=0.25)


def test_dropout_is_in_the_weights_that_are_returned_and_in_training_only():
    torch.manual_seed(0)
    core, plain = build(dropout=0.5, heads=2), build(heads=2)
    x, context = draw(2, 5, 12), draw(2, 7, 10, seed=2)
    output, weights = core(x, context, context, need_weights=True)
    kept = weights != 0
    assert 0.2 < kept.double().mean() < 0.8
    _, shown = plain(x, context, context, need_weights=True)
    assert_close(weights[kept], 2 * shown[kept], roundings=BAND, largest=2.0)
    value = core.value(context).unflatten(-1, (2, 5)).transpose(1, 2)
    want = core.out((weights @ value).transpose(1, 2).flatten(2))
    assert_close(output, want, roundings=BAND, largest=want.abs().max().item())
    assert not torch.equal(core(x, context, context)[0], core(x, context, context)[0])
    core.eval()
    assert torch.equal(core(x, context, context)[0], plain(x, context, context)[0])
