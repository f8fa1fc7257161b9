"""Attention pooling: the papers' formulas, masks, and a penalty for looking at the same."""

import math
import re

import numpy as np
import pytest
import torch
from torch.func import functional_call

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.mechanisms import Additive
from heedful.nn.pooling import AttentionPooling
from heedful.testing import oracle
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 12
SETTINGS = [
    {},
    {"queries": 5},
    {"queries": 5, "heads": 4},
    {"queries": 5, "heads": 3, "dim": 2, "squash": True},
    {"queries": 5, "dim": 7, "squash": True},
    {"queries": 5, "heads": 5, "dim": 2, "value_dim": 3},
    {"queries": 5, "heads": 3, "dim": 2, "mechanism": Additive},
    {"mechanism": Additive, "squash": True},
]
KINDS = ["none", "lengths", "empty_text", "dense"]


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(*, dtype=torch.float64, **settings):
    """A pooling in which every number is random, biases too."""
    if "mechanism" in settings:
        heads = settings.get("heads", 1)
        dim = settings.get("dim", WIDTH // heads)
        settings = settings | {"mechanism": settings["mechanism"](heads=heads, dim=dim)}
    pooling = AttentionPooling(width=WIDTH, **settings)
    for seed, parameter in enumerate(pooling.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * WIDTH**-0.5)
    return pooling.to(dtype)


def mask_of(kind, pooling, length=7):
    heads, queries = pooling.heads, pooling.queries
    return MASKS[kind](Sizes(heads=heads, kv_heads=heads, queries=queries, keys=length))


def expected(pooling, x, sees):
    """The formula in numpy: weights, output, and how large a number can get on the way."""
    names = dict(pooling.named_parameters())
    given = {name: p.detach().double().numpy() for name, p in names.items()}

    def heads(name):
        flat = x.double().numpy() @ given[f"{name}.weight"].T + given[f"{name}.bias"]
        return flat.reshape(*flat.shape[:2], pooling.heads, -1).transpose(0, 2, 1, 3)

    key, value = heads("key"), heads("value")
    key = np.tanh(key) if pooling.squash else key
    query = np.stack([given["query"]] * len(x))
    if pooling.mechanism is None:
        weights, mixed = oracle.scaled_dot(query, key, value, sees)
    else:
        vector = given["mechanism.score_weight"]
        weights, mixed = oracle.additive(query, key, value, sees, score_weight=vector)
    flat = mixed.transpose(0, 2, 1, 3).reshape(len(x), pooling.queries, -1)
    output = flat @ given["out.weight"].T + given["out.bias"]
    largest = abs(value).max() * abs(given["out.weight"]).sum(1).max()
    return torch.from_numpy(weights), torch.from_numpy(output), largest


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_matches_float64_oracle(settings, kind, dtype):
    pooling, x = build(dtype=dtype, **settings), draw(2, 7, WIDTH, dtype=dtype)
    mask, sees = mask_of(kind, pooling)
    weights, output, largest = expected(pooling, x, sees)
    # beyond the op: key, value and output are rounded once each, and are sums
    limit = 3 + roundings(dtype, WIDTH, WIDTH, pooling.dim, 7, WIDTH)
    with torch.no_grad():
        actual, shown = pooling(x, mask=mask), pooling.weights(x, mask=mask)
    assert actual.dtype == shown.dtype == dtype
    assert actual.shape == (2, pooling.queries, WIDTH)
    assert_close(actual, output, roundings=limit, largest=largest)
    assert_close(shown, weights, roundings=limit, largest=1.0)


def test_is_the_structured_attention_of_lin():
    """`A = softmax(W_2 tanh(W_1 x))`, `M = A x`: without projections of what is summed."""
    pooling, x = build(queries=3, dim=5, squash=True), draw(2, 7, WIDTH)
    with torch.no_grad():
        for linear in (pooling.value, pooling.out):
            linear.weight.copy_(torch.eye(WIDTH))
            linear.bias.zero_()
        pooling.key.bias.zero_()
        first, second = pooling.key.weight, pooling.query[0] / math.sqrt(5)
        weights = (second @ torch.tanh(first @ x.mT)).softmax(-1)
        torch.testing.assert_close(pooling.weights(x)[:, 0], weights)
        torch.testing.assert_close(pooling(x), weights @ x)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_order_does_not_matter(settings):
    pooling, x, order = build(**settings), draw(2, 7, WIDTH), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(pooling(x[:, order]), pooling(x))
    torch.testing.assert_close(pooling.weights(x[:, order]), pooling.weights(x)[..., order])


def test_padding_cannot_matter():
    pooling, x = build(queries=5, heads=4), draw(2, 7, WIDTH)
    mask = Mask.lengths(torch.tensor([4, 6]))
    changed = x.clone()
    changed[0, 4:], changed[1, 6:] = 1e6, -1e6
    assert torch.equal(pooling(x, mask=mask), pooling(changed, mask=mask))
    assert torch.equal(pooling.penalty(x, mask=mask), pooling.penalty(changed, mask=mask))
    for row, length in enumerate((4, 6)):
        part = pooling(x[row : row + 1, :length])
        torch.testing.assert_close(pooling(x, mask=mask)[row : row + 1], part)


def test_text_without_tokens_gives_the_bias_and_no_gradient():
    pooling, x = build(queries=5, heads=4), draw(2, 7, WIDTH).requires_grad_()
    mask = Mask.lengths(torch.tensor([0, 6]))
    output, penalty = pooling(x, mask=mask), pooling.penalty(x, mask=mask)
    assert torch.equal(output[0], pooling.out.bias.expand(5, WIDTH))
    assert penalty[0] == 0
    assert penalty[1] > 0
    (output.sum() + penalty.sum()).backward()
    assert x.grad[0].abs().max() == 0
    assert x.grad[1].abs().max() > 0
    assert all(p.grad.isfinite().all() for p in pooling.parameters())


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_penalty_is_the_formula(heads, dtype):
    pooling, x = build(queries=3, heads=heads, dtype=dtype), draw(2, 7, WIDTH, dtype=dtype)
    want = torch.zeros(2, dtype=torch.float64)
    weights = pooling.weights(x).double()
    for b in range(2):
        for h in range(heads):
            for i in range(3):
                for k in range(3):
                    product = sum(weights[b, h, i, j] * weights[b, h, k, j] for j in range(7))
                    want[b] += (product - float(i == k)) ** 2
    actual = pooling.penalty(x)
    assert actual.dtype == (torch.float32 if dtype == torch.bfloat16 else dtype)
    torch.testing.assert_close(actual, want.to(actual.dtype))


def test_penalty_is_zero_when_each_query_has_a_position_of_its_own():
    pooling = AttentionPooling(width=3, queries=3).double()
    with torch.no_grad():
        pooling.query.copy_(1000 * torch.eye(3)[None])
        pooling.key.weight.copy_(torch.eye(3))
        apart = pooling.penalty(torch.eye(3).double()[None])
        pooling.query.copy_(1000 * torch.eye(3)[0].expand(1, 3, 3))
        together = pooling.penalty(torch.eye(3).double()[None])
    assert apart.item() == 0
    assert together.item() == 6  # off the diagonal of A A^T there are six ones


@pytest.mark.parametrize("settings", [SETTINGS[2], SETTINGS[3], SETTINGS[6]], ids=str)
@pytest.mark.parametrize("kind", ["none", "empty_text"])
@pytest.mark.parametrize("call", ["forward", "penalty"])
def test_gradients(call, kind, settings):
    pooling, x = build(**(settings | {"queries": 2})), draw(2, 7, WIDTH).requires_grad_()
    mask, _ = mask_of(kind, pooling)
    names = [f"pooling.{name}" for name, _ in pooling.named_parameters()]

    def attend(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return functional_call(Call(pooling, call), given, (x, mask))

    assert torch.autograd.gradcheck(attend, (x, *pooling.parameters()), fast_mode=True)


class Call(torch.nn.Module):
    """One method as a module, because those can be called with other parameters."""

    def __init__(self, pooling, name):
        super().__init__()
        self.pooling, self.name = pooling, name

    def forward(self, x, mask):
        return getattr(self.pooling, self.name)(x, mask=mask)


def test_batch_rows_do_not_meet():
    pooling, x = build(queries=5, heads=4), draw(3, 7, WIDTH)
    lengths, rows = torch.tensor([4, 0, 7]), torch.tensor([2, 0])
    want = pooling(x, mask=Mask.lengths(lengths))[rows]
    torch.testing.assert_close(pooling(x[rows], mask=Mask.lengths(lengths[rows])), want)


@pytest.mark.parametrize("settings", [SETTINGS[2], SETTINGS[4], SETTINGS[6]], ids=str)
def test_exports(settings):
    pooling, x = build(**settings), draw(2, 7, WIDTH)
    program = torch.export.export(pooling, (x,)).module()
    torch.testing.assert_close(program(x), pooling(x))


def test_autocast():
    pooling, x = build(queries=5, heads=4, dtype=torch.float32), draw(2, 7, WIDTH).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = pooling(x)
        assert pooling.weights(x).dtype == low.dtype == torch.bfloat16
    _, output, largest = expected(pooling, x, lambda b, h, i, j: True)
    # also x and all parameters are rounded
    limit = 10 + roundings(low.dtype, WIDTH, WIDTH, pooling.dim, 7, WIDTH)
    assert_close(low, output, roundings=limit, largest=largest)


def test_starts_with_queries_that_differ():
    pooling = AttentionPooling(width=WIDTH, queries=3, heads=2)
    rows = pooling.query.flatten(0, 1)
    assert len(torch.unique(rows, dim=0)) == 6


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 12, "heads": 5}, "heads must divide width, got heads=5, width=12"),
        ({"width": 12, "queries": 0}, "queries must be at least 1, got 0"),
        ({"width": 12, "queries": 3, "dim": -1}, "dim must be at least 1, got -1"),
        ({"width": 12, "value_dim": -2}, "value_dim must be at least 1, got -2"),
        ({"width": 12, "heads": -3, "dim": 4, "value_dim": 5}, "heads must be at least 1, got -3"),
        (
            {"width": 12, "heads": 3, "mechanism": Additive(heads=2, dim=4)},
            "mechanism must have heads=3 and dim=4, got 2 and 4",
        ),
        (
            {"width": 12, "mechanism": "additive"},
            "mechanism must be a module of heedful.nn.mechanisms, such as Entmax(heads=8, dim=16), "
            "got 'additive'",
        ),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        AttentionPooling(**settings)


@pytest.mark.parametrize("shape", [(7, 12), (2, 7, 11), (2, 1, 7, 12)])
def test_rejects_shapes(shape):
    message = f"x must be (batch, length, width=12), got shape {shape}"
    pooling = build()
    for call in (pooling.forward, pooling.weights, pooling.penalty):
        with pytest.raises(ShapeError, match=re.escape(message)):
            call(torch.zeros(shape, dtype=torch.float64))


def test_rejects_a_mask_for_another_batch():
    with pytest.raises(ShapeError, match="lengths must have one entry per batch row, got 3"):
        build()(draw(2, 7, WIDTH), mask=Mask.lengths(torch.tensor([1, 2, 3])))
