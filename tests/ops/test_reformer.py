"""Reformer attention keeps the contract and its promise, and says what it needs."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops.reformer import reformer_attention, reformer_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.testing.approximation import Approximation, ApproximationContract
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.oracle import cheaper, scaled_dot
from heedful.testing.rules import RULES


class TestReformer(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["reformer"]


ALIGNED = Claim(
    attention=reformer_attention,
    weights=reformer_weights,
    oracle=cheaper.reformer,
    extras={"rotations": "rounds dim half_buckets"},
    settings={"chunk": 2, "aligned": True},
    sizes={"rounds": 1, "half_buckets": 3},
    square=True,
    normalised=False,
    permutation_invariant=False,
    independent_queries=False,
    decodes=False,
)


@pytest.mark.parametrize(
    "rule", ["output", "weights_make_the_output", "hidden_keys", "empty_rows", "grouped_heads"]
)
def test_self_attention_keeps(rule):
    for case in RULES[rule].cases:
        RULES[rule].check(ALIGNED, **case)


def rotated(rounds, sizes, generator):
    return torch.randn(rounds, sizes.dim, 2, generator=generator, dtype=torch.float64)


class TestChunksPromise(ApproximationContract):
    """Larger chunks are better, and one chunk is exact."""

    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=reformer_attention,
            exact=scaled_dot,
            budgets=[2, 8, 32],
            settings=lambda chunk, sizes, generator: {
                "rotations": rotated(1, sizes, generator),
                "chunk": chunk,
            },
            full=lambda sizes: sizes.keys,
            smaller=16,
            masks=["none", "lengths", "causal", "causal_start", "both"],
            lengths=(64, 128, 256),
        )


class TestRoundsPromise(ApproximationContract):
    """More rounds are better; keys that are met twice count once."""

    @pytest.fixture
    def approximation(self):
        return Approximation(
            attention=reformer_attention,
            exact=scaled_dot,
            budgets=[1, 2, 4],
            settings=lambda rounds, sizes, generator: {
                "rotations": rotated(4, sizes, generator)[:rounds],
                "chunk": 4,
            },
            full="the hashes may never bring two of them together",
            smaller=16,
            masks=["none", "causal"],
            lengths=(64, 128, 256),
        )


def tensors(**changed):
    generator = torch.Generator().manual_seed(4)
    return {
        "query": torch.randn(2, 4, 7, 3, generator=generator),
        "key": torch.randn(2, 2, 7, 3, generator=generator),
        "value": torch.randn(2, 2, 7, 6, generator=generator),
        "rotations": torch.randn(2, 3, 2, generator=generator),
        "chunk": 2,
    } | changed


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("rounds", [1, 3])
def test_one_chunk_is_exact(kind, rounds):
    mask, _ = MASKS[kind](Sizes(queries=7))
    given = tensors(chunk=7, rotations=tensors()["rotations"][[0, 1, 0][:rounds]], mask=mask)
    exact = {name: given[name] for name in ("query", "key", "value", "mask")}
    torch.testing.assert_close(reformer_attention(**given), scaled_dot_attention(**exact))


def test_meets_what_the_paper_says_where_queries_are_keys():
    """Sorted by bucket, then chunk by chunk; `p` is the place among the sorted."""
    generator = torch.Generator().manual_seed(9)
    text = torch.randn(2, 3, 11, 4, generator=generator)
    rotation = torch.randn(1, 4, 3, generator=generator)
    turned = text @ rotation[0]
    bucket = torch.cat([turned, -turned], -1).argmax(-1)
    place = bucket.argsort(dim=-1, stable=True).argsort(-1)
    behind = (place // 3)[..., None] - (place // 3)[..., None, :]
    met = Mask.dense((behind == 0) | (behind == 1))
    actual = reformer_weights(text, text, rotations=rotation, chunk=3)
    torch.testing.assert_close(actual, scaled_dot_weights(text, text, mask=met))


def test_similar_vectors_meet():
    """Three tight groups in any order: nearly all that exact attention gives stays in a group."""
    generator = torch.Generator().manual_seed(1)
    centres = 9 * torch.eye(3)
    group = torch.randint(3, (48,), generator=generator)
    text = centres[group] + 0.1 * torch.randn(1, 1, 48, 3, generator=generator)
    rotations = torch.randn(2, 3, 8, generator=generator)
    weights = reformer_weights(text, text, rotations=rotations, chunk=8)[0, 0]
    same = group[:, None] == group
    torch.testing.assert_close((weights * same).sum(-1), torch.ones(48))


def test_repeated_rounds_change_nothing():
    once = reformer_attention(**tensors(rotations=tensors()["rotations"][:1]))
    twice = reformer_attention(**tensors(rotations=tensors()["rotations"][[0, 0, 0]]))
    torch.testing.assert_close(twice, once)


@pytest.mark.parametrize("length", [7, 4, 1])
def test_padding_of_an_aligned_text_cannot_matter(length):
    given = tensors(aligned=True)
    for name in ("query", "key"):
        given[name] = given[name].clone()
        given[name][1, :, length:] = 3.0
    mask = Mask.lengths(torch.tensor([7, length]))
    whole = reformer_attention(**given, mask=mask)[1:, :, :length]
    alone = {name: given[name][1:, :, :length] for name in ("query", "key", "value")}
    torch.testing.assert_close(whole, reformer_attention(**given | alone))


def test_hidden_tokens_anywhere_are_as_good_as_gone():
    given = tensors(aligned=True)
    there = torch.tensor([True, False, True, True, False, True, True])
    whole = reformer_attention(**given, mask=Mask.dense(there[None]))[:, :, there]
    gone = {name: given[name][:, :, there] for name in ("query", "key", "value")}
    torch.testing.assert_close(whole, reformer_attention(**given | gone))


def test_a_query_that_meets_nothing_visible_gives_0():
    """It sees one key, but that is in another chunk."""
    table = torch.eye(8, dtype=torch.bool).flip(1)
    near = torch.eye(2).repeat_interleave(4, 0)[None, None]  # two groups, half and half
    rotations = torch.eye(2)[None]
    output = reformer_attention(
        near, near, torch.ones(1, 1, 8, 3), rotations=rotations, chunk=2, mask=Mask.dense(table)
    )
    assert output[0, 0, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]


def test_scale_is_a_factor_of_the_query():
    given = tensors()
    want = reformer_attention(**given | {"query": given["query"] * 2 * 3**0.5})
    torch.testing.assert_close(reformer_attention(**given, scale=2.0), want)


@pytest.mark.parametrize("mask", [None, Mask.causal(), Mask.lengths(torch.tensor([0, 0]))])
def test_where_there_is_no_key_nothing_is_found(mask):
    given = tensors(key=torch.ones(2, 2, 0, 3), value=torch.ones(2, 2, 0, 6), mask=mask)
    assert torch.equal(reformer_attention(**given), torch.zeros(2, 4, 7, 6))
    del given["value"]
    assert reformer_weights(**given).shape == (2, 4, 7, 0)


@pytest.mark.parametrize(
    "changed, error, message",
    [
        ({"chunk": 0}, ConfigError, "chunk must be at least 1, got 0"),
        (
            {"rotations": torch.ones(2, 4, 3)},
            ShapeError,
            "rotations must have shape (rounds, dim=3, half_buckets), none of them 0, "
            "got (2, 4, 3)",
        ),
        ({"rotations": torch.ones(0, 3, 2)}, ShapeError, "none of them 0, got (0, 3, 2)"),
        ({"rotations": torch.ones(2, 3, 0)}, ShapeError, "none of them 0, got (2, 3, 0)"),
        ({"rotations": torch.ones(3, 2)}, ShapeError, "none of them 0, got (3, 2)"),
        (
            {"rotations": torch.ones(2, 3, 2).int()},
            ConfigError,
            "rotations must be floating-point, got torch.int32",
        ),
        (
            {"aligned": True, "query": torch.ones(2, 4, 5, 3)},
            ShapeError,
            "aligned needs as many queries as keys, got 5 and 7",
        ),
        ({"query": torch.ones(2, 4, 5, 2)}, ShapeError, "query and key must have the same dim"),
        ({"mask": Mask.dense(torch.ones(3, 7, dtype=torch.bool))}, ShapeError, "3"),
        ({"mask": Mask.lengths(torch.tensor([9, 9]))}, ConfigError, "9"),
    ],
)
def test_rejects_what_does_not_fit(changed, error, message):
    given = tensors(**changed)
    with pytest.raises(error, match=re.escape(message)):
        reformer_attention(**given)
    del given["value"]
    with pytest.raises(error, match=re.escape(message)):
        reformer_weights(**given)
