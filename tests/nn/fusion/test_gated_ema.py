"""Gated attention over moving averages is its definition, and decoding is the whole."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn.fusion import GatedEma, GatedEmaCache, damped_ema
from heedful.nn.fusion.gated_ema import CHUNK
from heedful.nn.positions import AlibiPositions, RelativePositions, RotaryPositions
from heedful.testing.oracle import fusion
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 6


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def layer(**settings):
    module = GatedEma(width=WIDTH, dim=4, hidden=5, ema_dim=3, **settings)
    for seed, parameter in enumerate(module.double().parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.5)
    return module


def coefficients(width=3, ema_dim=2, dtype=torch.float64):
    names = ("alpha", "delta", "beta", "eta")
    drawn = {name: draw(width, ema_dim, seed=i, dtype=dtype) for i, name in enumerate(names)}
    return drawn | {name: drawn[name].sigmoid() for name in names[:2]}


def same(actual, want, limit=300):
    assert_close(actual, want, roundings=limit, largest=max(1.0, want.abs().max().item()))


# ---- the average ---------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_average_matches_the_oracle(length):
    x, given = draw(2, length, 3), coefficients()
    arrays = {name: value.numpy() for name, value in given.items()}
    want = fusion.damped_ema(x.numpy(), lambda b, t: True, **arrays)
    actual, _ = damped_ema(x, **given)
    same(actual, torch.from_numpy(want), roundings(torch.float64, CHUNK, 2, 4))


@pytest.mark.parametrize("sizes", [[1] * 9, [4, 5], [CHUNK, 1, 2 * CHUNK + 3]])
def test_average_in_pieces_is_the_whole(sizes):
    x, given = draw(2, sum(sizes), 3), coefficients()
    want, last = damped_ema(x, **given)
    state, pieces = None, []
    for piece in x.split(sizes, 1):
        output, state = damped_ema(piece, **given, state=state)
        pieces.append(output)
    same(torch.cat(pieces, 1), want)
    same(state, last)


def test_average_is_causal_bit_for_bit_also_across_chunks():
    x, given = draw(1, 2 * CHUNK, 3), coefficients()
    before, _ = damped_ema(x, **given)
    for stop in (1, CHUNK - 1, CHUNK, CHUNK + 7):
        changed = x.clone()
        changed[:, stop:] = 1e9
        assert torch.equal(damped_ema(changed, **given)[0][:, :stop], before[:, :stop])


def test_average_of_ones_runs_to_its_limit():
    # alpha beta / (alpha delta) = beta / delta, times eta
    one = torch.ones(1, 1).double()
    given = {"alpha": 0.5 * one, "delta": 0.8 * one, "beta": 2 * one, "eta": 3 * one}
    output, state = damped_ema(torch.ones(1, 300, 1).double(), **given)
    assert_close(
        output[0, :2, 0], torch.tensor([3, 4.8], dtype=torch.float64), roundings=10, largest=5.0
    )
    assert_close(output[0, -1, 0], torch.tensor(7.5), roundings=100, largest=7.5)
    assert_close(state, torch.tensor([[[2.5]]]), roundings=100, largest=2.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_average_computes_wide(dtype):
    x, given = draw(2, 50, 3, dtype=dtype), coefficients(dtype=dtype)
    output, state = damped_ema(x, **given)
    assert output.dtype == state.dtype == torch.float32
    exact, _ = damped_ema(x.double(), **{name: value.double() for name, value in given.items()})
    same(output, exact)


def test_average_has_its_gradients_where_nothing_is_forgotten_or_all():
    x, given = draw(1, 5, 3).requires_grad_(), coefficients()
    state = draw(1, 3, 2, seed=9).requires_grad_()
    inputs = [value.requires_grad_() for value in given.values()]

    def call(x, state, *values):
        return damped_ema(x, **dict(zip(given, values, strict=True)), state=state)

    assert torch.autograd.gradcheck(call, (x, state, *inputs))
    for alpha, delta in ((1.0, 1.0), (1.0, 0.0)):  # decay 0 and 1
        edges = [torch.full((3, 2), value).double().requires_grad_() for value in (alpha, delta)]
        call(x, state, *edges, *inputs[2:])[0].sum().backward()
        assert all(edge.grad.isfinite().all() for edge in edges)


@pytest.mark.parametrize(
    "name, shape, message",
    [
        ("alpha", (2, 2), "alpha must have shape (width=3, ema_dim=2), got (2, 2)"),
        ("beta", (3, 1), "beta must have shape (width=3, ema_dim=2), got (3, 1)"),
        ("state", (1, 3, 2), "state must have shape (batch=2, width=3, ema_dim=2), got (1, 3, 2)"),
    ],
)
def test_average_rejects_what_does_not_fit(name, shape, message):
    given = coefficients() | {name: torch.ones(shape).double()}
    with pytest.raises(ShapeError, match=re.escape(message)):
        damped_ema(draw(2, 5, 3), **given)


# ---- the layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [(7, 7), (4, 6), (0, 1)])
def test_matches_the_oracle(causal, lengths):
    module, x = layer(causal=causal), draw(2, 7, WIDTH)
    mask = Mask.lengths(torch.tensor(lengths))

    def exists(b, t):
        return t < lengths[b]

    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}
    want = fusion.gated_ema(
        x.numpy(), lambda b, h, i, j: exists(b, j), exists, parameters=parameters, causal=causal
    )
    for one, other in zip((module(x, mask=mask), module.weights(x, mask=mask)), want, strict=True):
        same(one, torch.from_numpy(other), roundings(torch.float64, 7, 3, 6, 4, 7, 6, 5))


def test_saying_causal_again_changes_nothing():
    module, x = layer(causal=True), draw(2, 7, WIDTH)
    assert torch.equal(module(x), module(x, mask=Mask.causal()))
    padding = Mask.lengths(torch.tensor([4, 7]))
    assert torch.equal(module(x, mask=padding), module(x, mask=Mask.causal() & padding))


@pytest.mark.parametrize(
    "positions", [None, RotaryPositions(4), RelativePositions(1), AlibiPositions(1)]
)
@pytest.mark.parametrize("sizes", [[1] * 7, [3, 1, 3]])
def test_decoding_is_the_whole(sizes, positions):
    module, x, cache = layer(causal=True, positions=positions), draw(2, 7, WIDTH), GatedEmaCache()
    want, weights = module(x), module.weights(x)
    stop = 0
    with torch.no_grad():
        for piece in x.split(sizes, 1):
            start, stop = stop, stop + piece.shape[1]
            same(module.weights(piece, cache=cache), weights[:, :, start:stop, :stop])
            same(module(piece, cache=cache), want[:, start:stop])
    assert cache.keys.length == 7


def test_decoding_behind_a_padded_text_is_the_whole():
    module, x, cache = layer(causal=True), draw(2, 7, WIDTH), GatedEmaCache()
    keep = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7]).bool()[:, None, None]
    want = module(x, mask=Mask.dense(keep))
    with torch.no_grad():
        for stop in range(1, 8):
            mask = Mask.dense(keep[..., :stop])
            same(module(x[:, stop - 1 : stop], mask=mask, cache=cache), want[:, stop - 1 : stop])


def test_a_cache_selects_rows():
    module, x, cache = layer(causal=True), draw(2, 7, WIDTH), GatedEmaCache()
    cache.select(torch.tensor([0]))  # an empty one has none
    rows = torch.tensor([1, 1, 0])
    want = module(x)[rows, 5:]
    with torch.no_grad():
        module(x[:, :5], cache=cache)
        cache.select(rows)
        same(module(x[rows, 5:], cache=cache), want)


def test_dropout_acts_in_training_only():
    module, x = layer(dropout=0.5), draw(2, 7, WIDTH)
    assert not torch.equal(module(x), module(x))
    module.eval()
    same(module(x), layer()(x))


def test_rejects_what_looks_ahead():
    module, x = layer(), draw(2, 7, WIDTH)
    message = "mask must not be causal because the moving average looks ahead, got Mask.causal()"
    for call in (module, module.weights):
        with pytest.raises(UnsupportedError, match=re.escape(message)):
            call(x, mask=Mask.causal())
        with pytest.raises(UnsupportedError, match="cache must be None without causal, got one"):
            call(x, cache=GatedEmaCache())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"ema_dim": 0}, "ema_dim must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"positions": RotaryPositions(6)}, "positions must have dim 4, got 6"),
        ({"positions": RelativePositions(2)}, "positions must have 1 head, got 2"),
        ({"positions": AlibiPositions(3)}, "positions must have 1 head, got 3"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        GatedEma(**{"width": 6, "dim": 4, "hidden": 5} | settings)
