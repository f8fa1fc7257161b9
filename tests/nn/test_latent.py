"""Latent attention: the paper's formulas, and decoding from latent vectors alone."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn import RotaryPositions
from heedful.nn.latent import LatentAttention, LatentCache
from heedful.testing import oracle
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

WIDTH, HEADS, DIM, VALUE_DIM, LATENT, ROTARY = 12, 4, 3, 2, 5, 6


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(*, rotary=True, query_latent_dim=7, dtype=torch.float64, **settings):
    """An attention in which every number is random, the gains of the norms too."""
    attention = LatentAttention(
        **{
            "width": WIDTH,
            "heads": HEADS,
            "dim": DIM,
            "value_dim": VALUE_DIM,
            "latent_dim": LATENT,
            "query_latent_dim": query_latent_dim,
            "positions": RotaryPositions(ROTARY) if rotary else None,
            **settings,
        }
    )
    for seed, parameter in enumerate(attention.parameters()):
        size = 1 if parameter.ndim == 1 else WIDTH**-0.5
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * size)
    return attention.to(dtype)


def expected(attention, x, sees):
    """The paper's equations in numpy: weights, output, and how large a number can get."""
    named = {name: p.detach().double().numpy() for name, p in attention.named_parameters()}
    x = x.double().numpy()
    batch, length, _ = x.shape

    def norm(y, name):
        return y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * named[f"{name}.weight"]

    def rotate(y):  # pairs are complex numbers
        half = y.shape[-1] // 2
        turning = np.array([10_000.0 ** (-2 * i / y.shape[-1]) for i in range(half)])
        angle = np.arange(length)[:, None] * turning
        turned = (y[..., :half] + 1j * y[..., half:]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag], -1)

    def by_head(y, name):
        return (y @ named[f"{name}.weight"].T).reshape(batch, length, HEADS, -1).swapaxes(1, 2)

    looked_for = x
    if "query_latent.weight" in named:
        looked_for = norm(x @ named["query_latent.weight"].T, "query_norm")
    query = by_head(looked_for, "query")
    down = x @ named["latent.weight"].T
    latent, shared = norm(down[..., :LATENT], "norm"), down[..., LATENT:]
    key, value = by_head(latent, "key"), by_head(latent, "value")
    if shared.shape[-1]:
        query = np.concatenate([query[..., :DIM], rotate(query[..., DIM:])], -1)
        every = np.repeat(rotate(shared)[:, None], HEADS, axis=1)
        key = np.concatenate([key, every], -1)
    weights, mixed = oracle.scaled_dot(query, key, value, sees)
    flat = mixed.swapaxes(1, 2).reshape(batch, length, -1)
    output = flat @ named["out.weight"].T
    largest = abs(value).max() * abs(named["out.weight"]).sum(1).max()
    return torch.from_numpy(weights), torch.from_numpy(output), largest


def same(actual, want, *, roundings=500):
    assert_close(actual, want, roundings=roundings, largest=want.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["none", "causal", "empty_text", "window", "dense", "both"])
@pytest.mark.parametrize("query_latent_dim", [None, 7])
@pytest.mark.parametrize("rotary", [False, True], ids=["plain", "rotary"])
def test_matches_float64_oracle(rotary, query_latent_dim, kind, dtype):
    attention = build(rotary=rotary, query_latent_dim=query_latent_dim, dtype=dtype)
    sizes = Sizes(queries=7, heads=HEADS)
    x = draw(2, 7, WIDTH, dtype=dtype)
    mask, sees = MASKS[kind](sizes)
    weights, output, largest = expected(attention, x, sees)
    # beyond the op, rounded once each: two latent vectors, their norms, four projections, rotation
    limit = 10 + roundings(dtype, WIDTH, WIDTH, 7, 7, LATENT, 9, 7, 8)
    with torch.no_grad():
        actual, shown = attention(x, mask=mask), attention.weights(x, mask=mask)
    assert actual.dtype == dtype
    assert_close(actual, output, roundings=limit, largest=largest)
    assert_close(shown, weights, roundings=limit, largest=1.0)


@pytest.mark.parametrize("split", [(1,) * 7, (3, 4), (1, 5, 1), (6, 1), (7,)], ids=str)
@pytest.mark.parametrize("query_latent_dim", [None, 7])
@pytest.mark.parametrize("rotary", [False, True], ids=["plain", "rotary"])
def test_decoding_from_latent_vectors_equals_one_pass(rotary, query_latent_dim, split):
    attention = build(rotary=rotary, query_latent_dim=query_latent_dim)
    x, cache, mask = draw(2, 7, WIDTH), LatentCache(), Mask.causal()
    with torch.no_grad():
        pieces = [attention(part, mask=mask, cache=cache) for part in x.split(split, 1)]
        same(torch.cat(pieces, 1), attention(x, mask=mask))
    assert cache.length == 7


@pytest.mark.parametrize("kind", ["none", "empty_text", "window", "dense", "both"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_absorbed_form_honours_masks_and_dtypes(dtype, kind):
    attention, x = build(dtype=dtype), draw(2, 7, WIDTH, dtype=dtype)
    mask, sees = MASKS[kind](Sizes(queries=5, heads=HEADS))
    cache = LatentCache()
    with torch.no_grad():
        attention(x[:, :2], cache=cache)
        shown = attention.weights(x[:, 2:], mask=mask, cache=cache)
        actual = attention(x[:, 2:], mask=mask, cache=cache)
    assert actual.dtype == dtype
    later = expected(attention, x, lambda b, h, i, j: i >= 2 and sees(b, h, i - 2, j))
    weights, output, largest = later
    limit = 13 + roundings(dtype, WIDTH, WIDTH, 7, 7, LATENT, 9, 7, 8, LATENT)
    assert_close(actual, output[:, 2:], roundings=limit, largest=largest)
    assert_close(shown, weights[:, :, 2:], roundings=limit, largest=1.0)


def test_only_the_first_call_with_a_cache_unfolds_keys_and_values(monkeypatch):
    attention, x, cache = build(), draw(2, 7, WIDTH), LatentCache()
    unfolded, linear = [], torch.nn.Linear.forward  # a hook would make every call do it

    def counted(self, given):
        if self in (attention.key, attention.value):
            unfolded.append(1)
        return linear(self, given)

    monkeypatch.setattr(torch.nn.Linear, "forward", counted)
    with torch.no_grad():
        attention(x[:, :6], mask=Mask.causal(), cache=cache)
        assert len(unfolded) == 2
        attention(x[:, 6:], mask=Mask.causal(), cache=cache)
    assert len(unfolded) == 2


class Adapted(torch.nn.Linear):
    """A layer that does more than its weight."""

    def forward(self, x):
        return super().forward(x) + x.sum(-1, keepdim=True)


@pytest.mark.parametrize("name", ["key", "value"])
@pytest.mark.parametrize("how", ["adapter", "hook"])
def test_what_is_more_than_its_weight_counts_in_later_calls_too(name, how):
    attention = build()
    layer = getattr(attention, name)
    if how == "adapter":
        layer.__class__ = Adapted
    else:
        layer.register_forward_hook(lambda module, given, output: output.tanh())
    x, cache = draw(2, 5, WIDTH), LatentCache()
    with torch.no_grad():
        steps = [attention(x[:, i : i + 1], cache=cache) for i in range(5)]
        torch.testing.assert_close(torch.cat(steps, 1), attention(x, mask=Mask.causal()))


def test_the_cache_holds_nothing_but_the_latent_vector_and_one_rotated_key():
    attention, cache = build(), LatentCache()
    with torch.no_grad():
        attention(draw(2, 6, WIDTH), cache=cache)
        latent, turned = cache.append(draw(2, 1, LATENT), draw(2, 1, ROTARY))
    assert latent.shape == (2, 7, LATENT)
    assert turned.shape == (2, 7, ROTARY)
    assert torch.equal(latent[:, 6:], draw(2, 1, LATENT))
    assert torch.equal(turned[:, 6:], draw(2, 1, ROTARY))


def test_distances_count_and_positions_do_not():
    attention = build()
    x, mask = draw(2, 5, WIDTH), Mask.window(3)
    other = draw(2, 2, WIDTH, seed=2)
    with torch.no_grad():
        same(attention(torch.cat([other, x], 1), mask=mask)[:, 4:], attention(x, mask=mask)[:, 2:])
        turned = attention(x.flip(1)).flip(1)
    assert not torch.allclose(turned, attention(x))
    plain = build(rotary=False)
    same(plain(x.flip(1)).flip(1), plain(x))


def test_asking_for_weights_leaves_the_cache_as_it_is():
    attention, x = build(), draw(2, 6, WIDTH)
    asked, cache, mask = LatentCache(), LatentCache(), Mask.causal()
    with torch.no_grad():
        for part in x.split([4, 1, 1], 1):
            before = asked.length
            shown = attention.weights(part, mask=mask, cache=asked)
            assert asked.length == before
            stop = before + part.shape[1]
            same(shown, attention.weights(x, mask=mask)[:, :, before:stop, :stop])
            actual = attention(part, mask=mask, cache=asked)
            assert torch.equal(actual, attention(part, mask=mask, cache=cache))


def test_rows_of_the_cache_can_be_chosen():
    attention, x, cache = build(), draw(2, 6, WIDTH), LatentCache()
    rows, mask = torch.tensor([1, 0, 1]), Mask.causal()
    with torch.no_grad():
        attention(x[:, :4], mask=mask, cache=cache)
        cache.select(rows)
        actual = attention(x[rows, 4:], mask=mask, cache=cache)
        same(actual, attention(x[rows], mask=mask)[:, 4:])


def test_a_query_that_sees_nothing_gives_zero_and_no_gradient():
    attention = build()
    x = draw(2, 7, WIDTH).requires_grad_()
    output = attention(x, mask=Mask.lengths(torch.tensor([0, 6])))
    assert output[0].abs().max() == 0
    output.sum().backward()
    assert x.grad[0].abs().max() == 0
    assert x.grad[1].abs().max() > 0
    assert all(p.grad.abs().max() > 0 for p in attention.parameters())


def test_hidden_positions_cannot_matter():
    attention, x = build(), draw(2, 7, WIDTH)
    changed = x.clone()
    changed[0, 4:], changed[1, 6:] = 100.0, -50.0
    mask = Mask.lengths(torch.tensor([4, 6]))
    before, after = attention(x, mask=mask), attention(changed, mask=mask)
    assert torch.equal(after[0, :4], before[0, :4])
    assert torch.equal(after[1, :6], before[1, :6])


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    attention, x = build(dropout=0.5), draw(2, 7, WIDTH)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    same(attention(x), build()(x))


@pytest.mark.parametrize("query_latent_dim", [None, 3])
def test_gradients(query_latent_dim):
    attention = LatentAttention(
        width=4,
        heads=2,
        latent_dim=3,
        query_latent_dim=query_latent_dim,
        positions=RotaryPositions(2),
    ).double()
    x = draw(2, 3, 4).requires_grad_()
    names, values = zip(*attention.named_parameters(), strict=True)

    def attend(x, *values):
        named = dict(zip(names, values, strict=True))
        mask = Mask.lengths(torch.tensor([2, 3]))
        return torch.func.functional_call(attention, named, (x,), {"mask": mask})

    assert torch.autograd.gradcheck(attend, (x, *values))


def test_compiles_into_one_graph():
    attention, x = build(), draw(2, 7, WIDTH)
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    same(compiled(x, mask=Mask.causal()), attention(x, mask=Mask.causal()))


def test_exports_with_any_length():
    class Causal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = build()

        def forward(self, x):
            return self.attention(x, mask=Mask.causal())

    model = Causal().eval()
    length = torch.export.Dim("length", min=2, max=99)
    exported = torch.export.export(
        model, (draw(2, 5, WIDTH),), dynamic_shapes=({1: length},), strict=False
    )
    x = draw(2, 7, WIDTH, seed=2)
    same(exported.module()(x), model(x))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"heads": 5, "dim": None}, "heads must divide width, got heads=5, width=12"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"value_dim": -1}, "value_dim must be at least 1, got -1"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"query_latent_dim": 0}, "query_latent_dim must be at least 1, got 0"),
    ],
)
def test_rejects_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        build(**settings)


def test_sizes_follow_the_width_unless_told():
    attention = LatentAttention(width=WIDTH, heads=HEADS, latent_dim=LATENT)
    assert attention.key.weight.shape == (12, LATENT)
    assert attention.value.weight.shape == (12, LATENT)
    assert attention.latent.weight.shape == (LATENT, WIDTH)
    assert LatentAttention(width=12, heads=2, latent_dim=4, dim=5).value.weight.shape == (10, 4)


@pytest.mark.parametrize(
    "latent, turned",
    [((2, 1, LATENT + 1), (2, 1, ROTARY)), ((2, 1, LATENT), (2, 2, ROTARY))],
    ids=["size", "length"],
)
def test_the_cache_rejects_what_does_not_fit(latent, turned):
    cache = LatentCache()
    cache.append(draw(2, 3, LATENT), draw(2, 3, ROTARY))
    message = (
        "latent and turned must match each other and the cache in all but their length, "
        f"got {latent} and {turned}"
    )
    with pytest.raises(ShapeError, match=re.escape(message)):
        cache.append(draw(*latent), draw(*turned))
