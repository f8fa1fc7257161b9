"""Linear attention keeps the contract and its promise, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops._feature_maps import CHUNK, Sums
from heedful.ops.linear import linear_attention, linear_step, linear_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import feature_maps
from heedful.testing.tolerance import assert_close, roundings

KINDS = ["none", "full", "causal", "causal_start", "lengths", "empty_text", "both", "nothing"]


class TestLinear(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["linear"]


class TestPromise(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=linear_attention,
            exact=None,
            budgets=[None],
            settings=lambda budget, sizes, generator: {},
            full="it is a mechanism of its own, not an estimate of another one",
            smaller=32,
            masks=KINDS,
        )


def tensors(queries=5, keys=7, **changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, queries, 3, generator=generator, dtype=torch.float64),
        "key": torch.randn(2, 2, keys, 3, generator=generator, dtype=torch.float64),
        "value": torch.randn(2, 2, keys, 6, generator=generator, dtype=torch.float64),
    } | changed


def close(actual, want, *, terms=0):
    limit = roundings(torch.float64, 3, terms, *want.shape[2:])
    assert_close(actual, want, roundings=limit, largest=max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("align", ["end", "start"])
@pytest.mark.parametrize(
    "queries, keys",
    [
        (2 * CHUNK + 3, 2 * CHUNK + 3),
        (CHUNK + 5, 2 * CHUNK),
        (2 * CHUNK, CHUNK + 5),
        (3, CHUNK + 1),
        (CHUNK + 1, 3),
    ],
)
def test_causal_over_several_chunks_is_the_oracle(queries, keys, align):
    """The weights are looked at as well as the outputs, over the borders of chunks."""
    given = tensors(queries, keys)
    given = {name: x[:1, :1] for name, x in given.items()}
    offset = keys - queries if align == "end" else 0
    hidden = torch.zeros(keys, dtype=torch.bool)
    hidden[1::3] = hidden[: CHUNK // 2] = True

    def sees(b, h, i, j):
        return j <= i + offset and not hidden[j]

    mask = Mask.causal(align=align) & Mask.dense(~hidden[None])
    arrays = {name: x.numpy() for name, x in given.items()}
    weights, output = (torch.from_numpy(x) for x in feature_maps.linear(**arrays, sees=sees))
    close(linear_attention(**given, mask=mask), output, terms=keys)
    del given["value"]
    close(linear_weights(**given, mask=mask), weights, terms=keys)


@pytest.mark.parametrize("pieces", [[1] * 7, [5, 1, 1], [3, 4], [CHUNK + 3, 1, 2 * CHUNK, 2]])
def test_steps_are_one_causal_pass(pieces):
    length = sum(pieces)
    given = tensors(length, length)
    want = linear_attention(**given, mask=Mask.causal())
    state, outputs = None, []
    for parts in zip(*(x.split(pieces, 2) for x in given.values()), strict=True):
        output, state = linear_step(*parts, state=state)
        outputs.append(output)
    close(torch.cat(outputs, 2), want, terms=length)


def test_a_state_does_not_grow_and_is_not_written_to():
    given = tensors(7, 7)
    _, state = linear_step(**given)
    assert state.total.shape == (2, 4, 3, 7)
    copies = [x.clone() for x in state]
    first, after = linear_step(**given, state=state)
    assert after.total.shape == state.total.shape
    assert all(torch.equal(x, y) for x, y in zip(state, copies, strict=True))
    second, _ = linear_step(**given, state=state)
    assert torch.equal(first, second)


def test_steps_answer_in_the_dtype_of_the_query_and_remember_wide():
    given = {name: x.bfloat16() for name, x in tensors(7, 7).items()}
    output, state = linear_step(**given)
    assert output.dtype == torch.bfloat16
    assert state.total.dtype == torch.float32


def test_a_shift_of_the_text_by_hidden_keys_changes_nothing():
    given = tensors(7, 7)
    want = linear_attention(**given, mask=Mask.causal())
    for name in ("key", "value"):
        given[name] = torch.cat([torch.full_like(given[name], torch.nan), given[name]], 2)
    there = torch.arange(14) >= 7
    mask = Mask.causal() & Mask.dense(there[None])
    close(linear_attention(**given, mask=mask), want, terms=7)


@pytest.mark.parametrize("mask", [None, Mask.causal()])
@pytest.mark.parametrize("sign", [-1, 1])
def test_shares_stay_shares_where_features_would_underflow(sign, mask):
    """`elu(x) + 1` of -1e4 is 0 in float32: the quotient of such numbers would be 0 / 0."""
    given = {name: x.float() for name, x in tensors(7, 7).items()}
    del given["value"]
    far = {name: sign * 1e4 * x.abs() for name, x in given.items()}
    weights = linear_weights(**far, mask=mask)
    limit = roundings(torch.float32, 3, 7)
    assert_close(weights.sum(-1), torch.ones(2, 4, 7), roundings=limit, largest=1.0)


def test_the_largest_queries_do_not_make_hidden_keys_infinite():
    """The logarithm that stands for nothing still leaves room for that of a query."""
    given = {name: x.float() for name, x in tensors(7, 7).items()}
    given["query"] = torch.full_like(given["query"], -1e35)
    mask = Mask.causal() & Mask.dense((torch.arange(7) > 1)[None])
    output = linear_attention(**given, mask=mask)
    assert output.isfinite().all()
    assert (output[:, :, :2] == 0).all()


@pytest.mark.parametrize("kind", ["key choice", "time"])
def test_unseen_nan_cannot_matter_nor_spoil_gradients(kind):
    given = tensors(7, 7)
    mask = Mask.causal() if kind == "time" else Mask.lengths(torch.tensor([4, 4]))
    want = linear_attention(**given, mask=mask)[:, :, :4]
    for name in ("key", "value"):
        given[name] = given[name].clone()
        given[name][:, :, 4:] = float("nan")
    given = {name: x.requires_grad_() for name, x in given.items()}
    output = linear_attention(**given, mask=mask)[:, :, :4]
    assert torch.equal(output, want)
    if kind == "key choice":
        output.sum().backward()
        assert all(x.grad.isfinite().all() for x in given.values())


def test_gradient_at_zero_is_that_of_the_feature():
    given = tensors()
    given["query"] = torch.zeros_like(given["query"]).requires_grad_()
    given["key"] = torch.zeros_like(given["key"]).requires_grad_()
    linear_attention(**given).square().sum().backward()
    phi_query = torch.ones(2, 4, 5, 3, dtype=torch.float64, requires_grad=True)
    phi_key = torch.ones(2, 4, 7, 3, dtype=torch.float64, requires_grad=True)
    scores = phi_query @ phi_key.mT
    value = given["value"].repeat_interleave(2, 1)
    (scores / scores.sum(-1, keepdim=True) @ value).square().sum().backward()
    close(given["query"].grad, phi_query.grad, terms=100)
    close(given["key"].grad, phi_key.grad.unflatten(1, (2, 2)).sum(2), terms=100)


@pytest.mark.parametrize("mask", [None, Mask.causal(), Mask.causal(align="start")])
@pytest.mark.parametrize("queries, keys", [(5, 0), (0, 7), (0, 0)])
def test_lengths_of_zero(queries, keys, mask):
    output = linear_attention(**tensors(queries, keys), mask=mask)
    assert torch.equal(output, torch.zeros(2, 4, queries, 6, dtype=torch.float64))


@pytest.mark.parametrize(
    "changed, error, message",
    [
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
        ({"key": torch.ones(2, 2, 7, 3).int()}, ConfigError, "key must be floating-point"),
        (
            {"mask": Mask.window(2)},
            UnsupportedError,
            "mask must be causal, a choice of keys or both because linear attention sums keys up "
            "before a query meets them, got Mask.window(2",
        ),
        ({"mask": Mask.anticausal()}, UnsupportedError, "mask must be causal, a choice of keys"),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        linear_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        linear_weights(**given)


@pytest.mark.parametrize(
    "changed, error, message",
    [
        ({"query": torch.ones(2, 4, 7, 2)}, ShapeError, "query and key must have the same dim"),
        (
            {"query": torch.ones(2, 4, 5, 3)},
            ShapeError,
            "query and key must have the same length in a step, got 5 and 7",
        ),
        (
            {"state": Sums(torch.ones(2, 2, 3, 7), torch.ones(2, 4, 3, 1))},
            ShapeError,
            "total of state must have shape (batch=2, heads=4, dim=3, columns=7), got (2, 2, 3, 7)",
        ),
        (
            {"state": Sums(torch.ones(2, 4, 3, 7), torch.ones(2, 4, 1, 3))},
            ShapeError,
            "size of state must have shape (batch=2, heads=4, dim=3, one=1), got (2, 4, 1, 3)",
        ),
    ],
)
def test_a_step_rejects_what_does_not_fit(changed, error, message):
    with pytest.raises(error, match=re.escape(message)):
        linear_step(**tensors(7, 7, **changed))
