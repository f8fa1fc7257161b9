"""Nyström attention keeps the contract and its promise, and says what it needs."""

import contextlib
import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops.nystrom import _pseudo_inverse, nystrom_attention, nystrom_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claim import Claim, NotClaimed
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import cheaper, scaled_dot
from heedful.testing.rules import RULES
from heedful.testing.tolerance import assert_close, roundings

KINDS = ["none", "full", "lengths", "empty_text", "nothing"]


class TestNystrom(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["nystrom"]


ALIGNED = Claim(
    attention=nystrom_attention,
    weights=nystrom_weights,
    oracle=cheaper.nystrom,
    extras={"convolution": "heads 5"},
    settings={"landmarks": 4, "iterations": 3, "aligned": True},
    masks=KINDS,
    square=True,
    normalised=False,
    positive=False,
    permutation_invariant=False,
    independent_queries=False,
    steps=(5, *(4,) * 4 * 3),
)


@pytest.mark.parametrize(
    "rule",
    [
        "output",
        "weights_make_the_output",
        "hidden_keys",
        "empty_rows",
        "gradients",
        "grouped_heads",
    ],
)
def test_self_attention_keeps(rule):
    done = 0
    for case in RULES[rule].cases:
        with contextlib.suppress(NotClaimed):
            RULES[rule].check(ALIGNED, **case)
            done += 1
    assert done > 0


def left_over(tensors, sees):
    """What `A Z A` misses of `A`, and how far `Z` magnifies rounding, as a share of the values.

    With every query and key a landmark, the three softmaxes are one, `A`; `Z` is its
    pseudo-inverse as far as the iteration has come.
    """
    query, key, value = (x.numpy() for x in tensors.values())
    batch, heads, queries, _ = query.shape
    exact, _ = scaled_dot(query, key, value, sees)
    most = 0.0
    for b, h in np.ndindex(batch, heads):
        seen = [j for j in range(key.shape[2]) if sees(b, h, 0, j)]
        if not seen:
            continue
        matrix = exact[b, h][:, seen]
        inverse = cheaper._inverse(matrix, STEPS)
        missed = np.abs(matrix @ inverse @ matrix - matrix).sum(1).max()
        # every step multiplies matrices with as many terms as there are landmarks, four times
        rounded = 4 * STEPS * max(queries, len(seen))
        magnified = rounded * np.finfo(np.float64).eps * np.abs(inverse).sum(1).max()
        most = max(most, missed + magnified)
    return most


STEPS = 18


class TestPromise(ApproximationContract):
    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=nystrom_attention,
            exact=scaled_dot,
            budgets=[4, 8, 16, 32],
            settings=lambda landmarks, sizes, generator: {
                "landmarks": landmarks,
                "iterations": STEPS,
            },
            full=lambda sizes: max(sizes.queries, sizes.keys),
            residue=left_over,
            smaller=32,
            masks=KINDS,
            lengths=(64, 128, 256),
        )


def tensors(**changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, 7, 3, generator=generator),
        "key": torch.randn(2, 2, 7, 3, generator=generator),
        "value": torch.randn(2, 2, 7, 6, generator=generator),
        "landmarks": 3,
    } | changed


@pytest.mark.parametrize("convolution", [None, torch.arange(20.0).view(4, 5).cos()])
def test_padding_of_an_aligned_text_cannot_matter(convolution):
    given = tensors(convolution=convolution, aligned=True)
    whole = nystrom_attention(**given, mask=Mask.lengths(torch.tensor([7, 4])))[1:, :, :4]
    alone = {name: given[name][1:, :, :4] for name in ("query", "key", "value")}
    torch.testing.assert_close(whole, nystrom_attention(**given | alone))
    given["query"] = given["query"].clone()
    given["query"][1, :, 4:] = float("nan")
    again = nystrom_attention(**given, mask=Mask.lengths(torch.tensor([7, 4])))
    assert torch.equal(again[1:, :, :4], whole)


def test_hidden_tokens_anywhere_are_as_good_as_gone():
    given = tensors(aligned=True)
    there = torch.tensor([True, False, True, True, False, True, True])
    whole = nystrom_attention(**given, mask=Mask.dense(there[None]))[:, :, there]
    gone = {name: given[name][:, :, there] for name in ("query", "key", "value")}
    torch.testing.assert_close(whole, nystrom_attention(**given | gone))


def test_one_query_gets_the_answer_of_its_landmark():
    """One row times its pseudo-inverse is one: the query is its own landmark, so it is exact."""
    query, key, value = (tensors()[name].double() for name in ("query", "key", "value"))
    query = query[:, :, :1]
    arrays = (x.numpy() for x in (query, key, value))
    want, _ = scaled_dot(*arrays, sees=lambda b, h, i, j: True)
    actual = nystrom_weights(query, key, landmarks=3, iterations=12)
    limit = roundings(torch.float64, 3, 7, *(3,) * 4 * 12)
    assert_close(actual, torch.from_numpy(want), roundings=limit, largest=1.0)


def test_convolution_adds_neighbours():
    kernel = torch.zeros(4, 3)
    kernel[:, 0], kernel[1, 2] = 1.0, 10.0
    plain = nystrom_attention(**tensors(aligned=True))
    value = tensors()["value"].repeat_interleave(2, 1)
    before = torch.cat([torch.zeros(2, 4, 1, 6), value[:, :, :-1]], 2)
    after = torch.cat([value[:, :, 1:], torch.zeros(2, 4, 1, 6)], 2)
    after[:, [0, 2, 3]] = 0.0
    actual = nystrom_attention(**tensors(aligned=True, convolution=kernel))
    torch.testing.assert_close(actual, plain + before + 10 * after)


def test_more_steps_come_nearer_to_the_inverse():
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(3, 2, 5, 4, generator=generator, dtype=torch.float64).softmax(-1)
    want = torch.linalg.pinv(matrix)
    errors = [(_pseudo_inverse(matrix, n) - want).norm().item() for n in (0, 2, 4, 6, 12)]
    assert errors == sorted(errors, reverse=True)
    limit = 4 * 12 * roundings(torch.float64, 4, 4) * want.norm().square().item()
    assert errors[-1] < limit * torch.finfo(torch.float64).eps


@pytest.mark.parametrize(
    "changed, error, message",
    [
        ({"landmarks": 0}, ConfigError, "landmarks must be at least 1, got 0"),
        ({"iterations": -1}, ConfigError, "iterations must not be negative, got -1"),
        (
            {"aligned": True, "query": torch.ones(2, 4, 5, 3)},
            ShapeError,
            "aligned needs as many queries as keys, got 5 and 7",
        ),
        (
            {"convolution": torch.ones(4, 3)},
            ConfigError,
            "convolution needs aligned=True, because it counts from a query's place",
        ),
        (
            {"convolution": torch.ones(4, 6), "aligned": True},
            ShapeError,
            "convolution must have shape (heads=4, an odd size), got (4, 6)",
        ),
        (
            {"convolution": torch.ones(2, 3), "aligned": True},
            ShapeError,
            "convolution must have shape (heads=4, an odd size), got (2, 3)",
        ),
        (
            {"convolution": torch.ones(4, 3).int(), "aligned": True},
            ConfigError,
            "convolution must be floating-point, got torch.int32",
        ),
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
        (
            {"mask": Mask.causal()},
            UnsupportedError,
            "mask must show every query the same keys because the landmarks of Nyström attention "
            "mix the keys before a query sees them, got Mask.causal",
        ),
        ({"mask": Mask.window(2)}, UnsupportedError, "mask must show every query the same keys"),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        nystrom_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        nystrom_weights(**given)


@pytest.mark.parametrize("queries, keys", [(0, 0), (3, 0), (0, 3)])
def test_where_nothing_is_there_nothing_is_mixed(queries, keys):
    query, key = torch.zeros(2, 1, queries, 4), torch.zeros(2, 1, keys, 4)
    mixed = nystrom_attention(query, key, key, landmarks=2)
    assert mixed.shape == query.shape
    assert not mixed.any()
