"""Transformer-XL's attention: a text in segments is the text, as far as the memory goes."""

import math
import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.transformer_xl import TransformerXLAttention
from heedful.testing.oracle import reach
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 12


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(*, dtype=torch.float64, **settings):
    """An attention in which every number is random, biases too."""
    attention = TransformerXLAttention(**{"width": WIDTH, "heads": 4, **settings})
    for seed, parameter in enumerate(attention.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * WIDTH**-0.5)
    return attention.to(dtype)


def same(actual, want, *, keys):
    limit = 2 * roundings(actual.dtype, WIDTH, WIDTH, 3, keys, keys, WIDTH)
    assert_close(actual, want, roundings=limit, largest=max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("dim", [None, 5])
@pytest.mark.parametrize("remembered", [0, 4])
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_is_the_formula(causal, remembered, dim):
    attention = build(dim=dim)
    x, memory = draw(2, 5, WIDTH), draw(2, remembered, WIDTH, seed=2)
    mask = Mask.causal() if causal else None
    weight = {name: p.detach().numpy() for name, p in attention.named_parameters()}
    source, size = torch.cat([memory, x], 1).numpy(), attention.dim

    def heads(name, rows):
        return (rows @ weight[f"{name}.weight"].T).reshape(*rows.shape[:-1], 4, size)

    query, key, value = (
        heads(name, rows).transpose(0, 2, 1, 3)
        for name, rows in (("query", x.numpy()), ("key", source), ("value", source))
    )
    keys = 5 + remembered
    embedded = torch.tensor(
        [
            [
                wave(distance / 10_000 ** (i / WIDTH))
                for i in range(0, WIDTH, 2)
                for wave in (math.sin, math.cos)
            ]
            for distance in range(keys - 1, -5, -1)
        ],
        dtype=torch.float64,
    ).numpy()
    weights, mixed = reach.transformer_xl(
        query,
        key,
        value,
        lambda b, h, i, j: not causal or j <= i + remembered,
        position=heads("position", embedded).transpose(1, 0, 2),
        content_bias=weight["content_bias"],
        position_bias=weight["position_bias"],
    )
    output = mixed.transpose(0, 2, 1, 3).reshape(2, 5, -1) @ weight["out.weight"].T
    given = None if remembered == 0 else memory
    same(attention(x, memory=given, mask=mask), torch.from_numpy(output), keys=keys)
    weights = torch.from_numpy(weights)
    same(attention.weights(x, memory=given, mask=mask), weights, keys=keys)


@pytest.mark.parametrize("split", [(9,), (4, 5), (1,) * 9, (3, 1, 5)], ids=str)
def test_segments_with_all_of_the_memory_are_one_pass(split):
    attention, x = build(max_memory=9), draw(2, 9, WIDTH)
    memory, outputs, weights = None, [], []
    for segment in x.split(split, dim=1):
        outputs.append(attention(segment, memory=memory, mask=Mask.causal()))
        seen = attention.weights(segment, memory=memory, mask=Mask.causal())
        weights.append(torch.nn.functional.pad(seen, (0, 9 - seen.shape[3])))
        memory = attention.remember(segment, memory)
    assert torch.equal(memory, x)
    same(torch.cat(outputs, 1), attention(x, mask=Mask.causal()), keys=9)
    same(torch.cat(weights, 2), attention.weights(x, mask=Mask.causal()), keys=9)


def test_a_short_memory_holds_the_last_positions():
    attention, x = build(max_memory=4), draw(2, 9, WIDTH)
    memory = attention.remember(x[:, :3])
    assert torch.equal(memory, x[:, :3])
    assert torch.equal(attention.remember(x[:, 3:6], memory), x[:, 2:6])
    assert build(max_memory=0).remember(x).shape == (2, 0, WIDTH)
    window = Mask.causal() & Mask.window(5)  # the last query of a segment and 4 before it
    want = attention(x, mask=window)[:, 4:5]
    got = attention(x[:, 4:5], memory=attention.remember(x[:, :4]), mask=Mask.causal())
    same(got, want, keys=9)


def test_no_gradient_flows_into_the_memory():
    attention = build()
    x, memory = draw(2, 3, WIDTH).requires_grad_(), draw(2, 4, WIDTH, seed=2).requires_grad_()
    attention(x, memory=memory).square().sum().backward()
    assert memory.grad is None
    assert x.grad.abs().max() > 0
    for name, parameter in attention.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert not attention.remember(x, memory).requires_grad


def test_half_precision_keeps_its_dtype():
    attention, x = build(dtype=torch.bfloat16), draw(2, 5, WIDTH, dtype=torch.bfloat16)
    memory = draw(2, 4, WIDTH, seed=2)  # as another part of the program left it
    assert attention(x, memory=memory, mask=Mask.causal()).dtype == torch.bfloat16


@pytest.mark.parametrize("remembered", [0, 4])
def test_compiles_and_exports(remembered):
    class Segment(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = build()

        def forward(self, x, memory):
            return self.attention(x, memory=memory, mask=Mask.causal())

    model, given = Segment(), (draw(2, 5, WIDTH), draw(2, remembered, WIDTH, seed=2))
    want = model(*given)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    same(compiled(*given), want, keys=9)
    same(torch.export.export(model, given).module()(*given), want, keys=9)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"heads": 5}, "heads must divide width, got heads=5, width=12"),
        ({"heads": 0, "dim": 3}, "heads and dim must be at least 1, got heads=0, dim=3"),
        ({"dim": 0}, "heads and dim must be at least 1, got heads=4, dim=0"),
        ({"max_memory": -1}, "max_memory must not be negative, got -1"),
        ({"width": 9, "heads": 3}, "width must be even for sinusoidal positions, got 9"),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        TransformerXLAttention(**{"width": WIDTH, "heads": 4, **settings})


@pytest.mark.parametrize("shape", [(1, 4, WIDTH), (2, 4, 6), (2, WIDTH)], ids=str)
def test_rejects_a_memory_of_something_else(shape):
    message = f"memory must match x in batch and width, got {shape} for (2, 5, 12)"
    attention, x = build(), draw(2, 5, WIDTH)
    for call in (attention, attention.weights):
        with pytest.raises(ShapeError, match=re.escape(message)):
            call(x, memory=draw(*shape))
    with pytest.raises(ShapeError, match=re.escape(message)):
        attention.remember(x, draw(*shape))
