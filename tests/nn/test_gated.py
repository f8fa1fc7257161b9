"""Gates around attention: what they multiply, and attention itself when they are open."""

import numpy as np
import pytest
import torch

from heedful.mask import Mask
from heedful.nn import Attention, KeyValueCache, RelativePositions, RotaryPositions
from heedful.nn.gated import GatedAttention
from heedful.nn.mechanisms.cosine import Cosine
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 12


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(*, elementwise=False, dtype=torch.float64, **settings):
    """A gated attention in which every number is random."""
    attention = Attention(**{"width": WIDTH, "heads": 4, "kv_heads": 2, "dim": 6, **settings})
    gated = GatedAttention(attention, elementwise=elementwise)
    for seed, parameter in enumerate(gated.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * WIDTH**-0.5)
    return gated.to(dtype)


def expected(gated, x, context, mask):
    """Values weighted as `weights` says, times a sigmoid written out, in numpy."""
    attention = gated.attention
    weights = attention.weights(x, context, mask=mask).detach().numpy()
    named = {name: p.detach().numpy() for name, p in gated.named_parameters()}

    def linear(name, source):
        return source @ named[f"{name}.weight"].T + named[f"{name}.bias"]

    source = (x if context is None else context).numpy()
    value = linear("attention.value", source).reshape(*source.shape[:2], attention.kv_heads, -1)
    gate = linear("gate", x.numpy()).reshape(*x.shape[:2], attention.heads, -1)
    mixed = np.zeros((*x.shape[:2], attention.heads, attention.dim))
    for b, i, h, d in np.ndindex(*mixed.shape):
        shared = h // (attention.heads // attention.kv_heads)
        opening = gate[b, i, h, d if gate.shape[3] > 1 else 0]
        summed = sum(weights[b, h, i, j] * value[b, j, shared, d] for j in range(source.shape[1]))
        mixed[b, i, h, d] = summed / (1 + np.exp(-opening))
    return torch.from_numpy(linear("attention.out", mixed.reshape(*x.shape[:2], -1)))


def same(actual, want, *, roundings=300):
    assert_close(actual, want, roundings=roundings, largest=want.abs().max().item())


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize("kind", ["none", "causal", "empty_text", "dense", "both"])
def test_a_gate_multiplies_its_head_or_its_component(kind, cross, elementwise):
    gated = build(elementwise=elementwise)
    sizes = Sizes(queries=5 if cross else 7)
    x, context = draw(2, sizes.queries, WIDTH), draw(2, 7, WIDTH, seed=2) if cross else None
    mask, _ = MASKS[kind](sizes)
    same(gated(x, context, mask=mask), expected(gated, x, context, mask))
    assert gated.gates(x).shape == (2, 4, sizes.queries, 6 if elementwise else 1)


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("extra", ["rotary", "relative", "mechanism"])
def test_open_gates_are_the_wrapped_attention_and_shut_ones_its_bias(extra, elementwise):
    settings = {
        "rotary": {"positions": RotaryPositions(6)},
        "relative": {"positions": RelativePositions(4)},
        "mechanism": {"mechanism": Cosine(heads=4, dim=6)},
    }[extra]
    gated = build(elementwise=elementwise, **settings)
    x, mask = draw(2, 7, WIDTH), Mask.causal()
    want = gated.attention(x, mask=mask)
    assert not torch.allclose(gated(x, mask=mask), want)
    torch.nn.init.constant_(gated.gate.bias, 1e3)
    assert torch.equal(gated(x, mask=mask), want)
    assert torch.equal(gated.weights(x, mask=mask), gated.attention.weights(x, mask=mask))
    torch.nn.init.constant_(gated.gate.bias, -1e3)
    assert torch.equal(gated(x, mask=mask), gated.attention.out.bias.expand(2, 7, WIDTH))


@pytest.mark.parametrize("elementwise", [False, True])
def test_a_query_that_sees_nothing_gives_the_bias_and_no_gradient(elementwise):
    gated = build(elementwise=elementwise)
    x = draw(2, 7, WIDTH).requires_grad_()
    output = gated(x, mask=Mask.lengths(torch.tensor([0, 6])))
    assert torch.equal(output[0], gated.attention.out.bias.expand(7, WIDTH))
    output.sum().backward()
    assert x.grad[0].abs().max() == 0
    assert x.grad[1].abs().max() > 0
    assert gated.gate.weight.grad.abs().max() > 0


@pytest.mark.parametrize("elementwise", [False, True])
def test_decoding_in_pieces_equals_one_pass(elementwise):
    gated = build(elementwise=elementwise, positions=RotaryPositions(6))
    x, cache, mask = draw(2, 7, WIDTH), KeyValueCache(), Mask.causal()
    with torch.no_grad():
        shown = gated.weights(x[:, :3], mask=mask, cache=cache)
        assert shown.shape == (2, 4, 3, 3)
        pieces = [gated(part, mask=mask, cache=cache) for part in x.split([3, 1, 1, 2], 1)]
        same(torch.cat(pieces, 1), gated(x, mask=mask))
    assert cache.length == 7


@pytest.mark.parametrize("elementwise", [False, True])
def test_half_precision_stays_close(elementwise):
    gated = build(elementwise=elementwise, dtype=torch.bfloat16)
    x = draw(2, 7, WIDTH, dtype=torch.bfloat16)
    exact = build(elementwise=elementwise)
    exact.load_state_dict(gated.state_dict())
    with torch.no_grad():
        actual, want = gated(x, mask=Mask.causal()), exact(x.double(), mask=Mask.causal())
        value = exact.attention.value(x.double())
    assert actual.dtype == torch.bfloat16
    largest = value.abs().max() * exact.attention.out.weight.abs().sum(1).max()
    # query, key, value, output, gate and its product are rounded, beyond what the op rounds
    limit = 6 + roundings(x.dtype, WIDTH, WIDTH, 6, 7, 24)
    assert_close(actual, want, roundings=limit, largest=largest.item())


@pytest.mark.parametrize("elementwise", [False, True])
def test_gradients(elementwise):
    gated = build(width=4, heads=2, kv_heads=1, dim=2, elementwise=elementwise)
    x = draw(2, 3, 4).requires_grad_()
    names, values = zip(*gated.named_parameters(), strict=True)

    def attend(x, *values):
        named = dict(zip(names, values, strict=True))
        mask = Mask.lengths(torch.tensor([2, 3]))
        return torch.func.functional_call(gated, named, (x,), {"mask": mask})

    assert torch.autograd.gradcheck(attend, (x, *values))


def test_compiles_into_one_graph():
    gated, x = build(elementwise=True), draw(2, 7, WIDTH)
    compiled = torch.compile(gated, backend="aot_eager", fullgraph=True)
    same(compiled(x, mask=Mask.causal()), gated(x, mask=Mask.causal()))


def test_starts_half_open_on_average():
    gated = GatedAttention(Attention(width=WIDTH, heads=4))
    assert gated.gate.bias.abs().max() == 0
    gates = gated.gates(draw(2, 7, WIDTH, dtype=torch.float32))
    assert (gates > 0).all()
    assert (gates < 1).all()
    assert torch.equal(gated.gates(torch.zeros(2, 7, WIDTH)), torch.full((2, 4, 7, 1), 0.5))
