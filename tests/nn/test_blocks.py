"""Layers are their formulas: sublayers, residual paths and norms, spelled out."""

import pytest
import torch
from torch.nn.functional import layer_norm

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import (
    Attention,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    KeyValueCache,
    Residual,
)
from heedful.nn.constant import Constant
from heedful.testing.tolerance import assert_close

WIDTH = 6


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomised(module):
    for seed, parameter in enumerate(module.double().parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.5)
    return module


def attention():
    return Attention(width=WIDTH, heads=3)


def same(actual, want):
    assert_close(actual, want, roundings=300, largest=want.abs().max().item())


def wrapped(x, sublayer, norm, residual):
    """Section 3 of arXiv:2002.04745, in one line each."""
    parameters = (WIDTH,), residual.norm.weight, residual.norm.bias
    if norm == "pre":
        return x + sublayer(layer_norm(x, *parameters))
    return layer_norm(x + sublayer(x), *parameters)


def test_feedforward_is_two_layers_with_relu_between():
    feedforward = randomised(FeedForward(WIDTH, hidden=9))
    x = draw(2, 5, WIDTH)
    inner, outer = feedforward.inner, feedforward.outer
    assert inner.weight.shape == (9, WIDTH)
    middle = (x @ inner.weight.T + inner.bias).clamp(min=0)
    same(feedforward(x), middle @ outer.weight.T + outer.bias)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_layer_is_its_formula(norm):
    layer = EncoderLayer(attention(), width=WIDTH, feedforward=9, norm=norm, dropout=0.5)
    layer = randomised(layer).eval()
    x, mask = draw(2, 5, WIDTH), Mask.lengths(torch.tensor([3, 5]))

    def attend(y):
        return layer.self_attention(y, mask=mask)

    want = wrapped(x, attend, norm, layer.self_residual)
    want = wrapped(want, layer.feedforward, norm, layer.feedforward_residual)
    same(layer(x, mask=mask), want)


def decoder(norm, dropout=0.0):
    layer = DecoderLayer(
        attention(), attention(), width=WIDTH, feedforward=9, norm=norm, dropout=dropout
    )
    return randomised(layer)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_decoder_layer_is_its_formula(norm):
    layer = decoder(norm, dropout=0.5).eval()
    x, memory = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    mask = Mask.lengths(torch.tensor([4, 7]))

    def own(y):
        return layer.self_attention(y, mask=Mask.causal())

    def cross(y):
        return layer.cross_attention(y, memory, mask=mask)

    want = wrapped(x, own, norm, layer.self_residual)
    want = wrapped(want, cross, norm, layer.cross_residual)
    want = wrapped(want, layer.feedforward, norm, layer.feedforward_residual)
    same(layer(x, memory, memory_mask=mask), want)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_decoding_in_pieces_equals_one_pass(norm):
    layer = decoder(norm)
    x, memory = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    caches = {"self_cache": KeyValueCache(), "cross_cache": KeyValueCache()}
    mask = Mask.lengths(torch.tensor([4, 7]))
    with torch.no_grad():
        pieces = [layer(part, memory, memory_mask=mask, **caches) for part in x.split([2, 1, 2], 1)]
        same(torch.cat(pieces, 1), layer(x, memory, memory_mask=mask))
    assert caches["self_cache"].length == 5
    assert caches["cross_cache"].length == 7


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_dropout_acts_on_the_sublayer_only_and_in_training_only(norm):
    torch.manual_seed(0)
    residual = Residual(WIDTH, norm=norm, dropout=0.5).double()
    x = draw(2, 500, WIDTH)

    def ones(y):
        return torch.ones_like(y)

    if norm == "pre":
        added = residual(x, ones) - x  # 0 or 2, half of the time each
        assert added.round().unique().tolist() == [0, 2]
        # a mean of 6000 with deviation 1
        assert abs(added.mean().item() - 1) < 5 / added.numel() ** 0.5
    else:
        assert not torch.equal(residual(x, ones), residual(x, ones))
    residual.eval()
    same(residual(x, ones), wrapped(x, ones, norm, residual))


def constant():
    vector = Constant(WIDTH).double()
    vector.vector.data = draw(WIDTH, seed=5)
    return vector


def emptied(attention):
    """Attention whose heads count for nothing, so that only its output bias is left."""
    attention.out.weight.data.zero_()
    attention.out.bias.data = draw(WIDTH, seed=5)
    return attention


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_constant_in_an_encoder_layer_gives_what_an_empty_attention_gives(norm):
    layer = EncoderLayer(attention(), width=WIDTH, feedforward=9, norm=norm, dropout=0.0)
    randomised(layer)
    emptied(layer.self_attention)
    x = draw(2, 5, WIDTH)
    want = layer(x, mask=Mask.lengths(torch.tensor([3, 5])))
    layer.self_attention = constant()
    same(layer(x, mask=Mask.lengths(torch.tensor([3, 5]))), want)


@pytest.mark.parametrize("which", ["self_attention", "cross_attention"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_constant_in_a_decoder_layer_gives_what_an_empty_attention_gives(norm, which):
    layer = decoder(norm)
    emptied(getattr(layer, which))
    x, memory = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    mask = Mask.lengths(torch.tensor([4, 7]))
    want = layer(x, memory, memory_mask=mask)
    setattr(layer, which, constant())
    same(layer(x, memory, memory_mask=mask), want)
    caches = {"self_cache": KeyValueCache(), "cross_cache": KeyValueCache()}
    with torch.no_grad():
        pieces = [layer(part, memory, memory_mask=mask, **caches) for part in x.split([2, 1, 2], 1)]
    same(torch.cat(pieces, 1), want)
    assert caches[which.replace("attention", "cache")].length == 0


def test_nothing_is_computed_for_a_constant():
    layer = decoder("pre")
    layer.self_attention = layer.cross_attention = constant()
    normed = []
    for residual in (layer.self_residual, layer.cross_residual, layer.feedforward_residual):
        residual.norm.register_forward_hook(lambda module, args, output: normed.append(module))
    memory = torch.full((2, 7, WIDTH), torch.nan, dtype=torch.float64)
    assert layer(draw(2, 5, WIDTH), memory).isfinite().all()
    assert normed == [layer.feedforward_residual.norm]


def test_rejects_a_norm_that_does_not_exist():
    with pytest.raises(ConfigError, match="norm must be one of pre, post, got 'between'"):
        Residual(WIDTH, norm="between", dropout=0.0)
