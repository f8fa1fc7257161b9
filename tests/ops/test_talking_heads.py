"""Talking heads keep the contract where all heads see the same, and refuse other masks."""

import re

import pytest
import torch

from heedful.errors import ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.ops.talking_heads import talking_heads_attention, talking_heads_weights
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.tolerance import assert_close, roundings


class TestTalkingHeads(AttentionContract):
    @pytest.fixture
    def claim(self):
        return CLAIMS["talking_heads"]


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


QUERY, KEY, VALUE = draw(2, 4, 5, 3), draw(2, 2, 7, 3, seed=2), draw(2, 2, 7, 6, seed=3)
SCORE_MIX, WEIGHT_MIX = draw(4, 4, seed=4), draw(4, 4, seed=5)
SOME = Mask.causal() & Mask.lengths(torch.tensor([4, 7]))
SEEN = SOME.to_bool(5, 7, batch=2)


@pytest.mark.parametrize("mask", [None, SOME], ids=["all", "some"])
def test_heads_that_keep_to_themselves_are_scaled_dot_attention(mask):
    alone = torch.eye(4, dtype=torch.float64)
    mixes = {"score_mix": alone, "weight_mix": alone, "mask": mask}
    want = scaled_dot_weights(QUERY, KEY, mask=mask)
    limit = 2 * roundings(want.dtype, 3, 7, 4, 4)
    assert_close(talking_heads_weights(QUERY, KEY, **mixes), want, roundings=limit, largest=1.0)
    want = scaled_dot_attention(QUERY, KEY, VALUE, mask=mask)
    actual = talking_heads_attention(QUERY, KEY, VALUE, **mixes)
    assert_close(actual, want, roundings=limit, largest=VALUE.abs().max().item())


def test_rows_sum_to_what_the_weight_mix_says():
    mixes = {"score_mix": SCORE_MIX, "weight_mix": WEIGHT_MIX}
    weights = talking_heads_weights(QUERY, KEY, mask=SOME, **mixes)
    want = (WEIGHT_MIX.sum(1)[:, None] * SEEN.any(-1)).expand(2, 4, 5)
    largest = WEIGHT_MIX.abs().sum(1).max().item()
    assert_close(weights.sum(-1), want, roundings=roundings(want.dtype, 7, 4), largest=largest)
    assert (weights < 0).any()


def test_a_head_takes_from_the_others_by_its_own_row():
    # head h takes the scores of head h + 1, and then the weights of the head after that
    turn = torch.eye(4, dtype=torch.float64).roll(1, 1)
    plain = scaled_dot_weights(QUERY, KEY, mask=SOME)
    limit = 2 * roundings(plain.dtype, 3, 7, 4, 4)
    actual = talking_heads_weights(QUERY, KEY, score_mix=turn, weight_mix=turn, mask=SOME)
    assert_close(actual, plain[:, [2, 3, 0, 1]], roundings=limit, largest=1.0)


@pytest.mark.parametrize(
    "function, given",
    [(talking_heads_weights, (QUERY, KEY)), (talking_heads_attention, (QUERY, KEY, VALUE))],
    ids=["weights", "attention"],
)
def test_refuses_a_mask_that_differs_by_head(function, given):
    table = torch.ones(1, 4, 5, 7, dtype=torch.bool)
    table[0, 2, :, 3] = False
    message = (
        "mask must be the same for all heads because they mix what they see, "
        "got one with an entry for each of 4 heads"
    )
    mixes = {"score_mix": SCORE_MIX, "weight_mix": WEIGHT_MIX}
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        function(*given, mask=Mask.dense(table), **mixes)


def test_takes_a_dense_mask_without_heads():
    given = {"score_mix": SCORE_MIX, "weight_mix": WEIGHT_MIX}
    actual = talking_heads_weights(QUERY, KEY, mask=Mask.dense(SEEN), **given)
    assert torch.equal(actual, talking_heads_weights(QUERY, KEY, mask=SOME, **given))


def test_neither_pieces_of_queries_nor_the_order_of_keys_matter():
    # the contract asks this with a mask for each head
    mixes = {"score_mix": SCORE_MIX, "weight_mix": WEIGHT_MIX}
    want = talking_heads_attention(QUERY, KEY, VALUE, mask=SOME, **mixes)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    pieces = [
        talking_heads_attention(
            QUERY[:, :, rows],
            KEY[:, :, order],
            VALUE[:, :, order],
            mask=Mask.dense(SEEN[:, :, rows][..., order]),
            **mixes,
        )
        for rows in (slice(0, 2), slice(2, 5))
    ]
    limit = 2 * roundings(want.dtype, 3, 7, 7, 4, 4)
    assert_close(torch.cat(pieces, 2), want, roundings=limit, largest=4 * VALUE.abs().max().item())


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"score_mix": draw(4, 3)}, "score_mix must have shape (heads=4, mixed=4), got (4, 3)"),
        ({"weight_mix": draw(2, 4)}, "weight_mix must have shape (heads=4, mixed=4), got (2, 4)"),
    ],
)
def test_rejects_what_does_not_fit(changed, message):
    given = {"score_mix": SCORE_MIX, "weight_mix": WEIGHT_MIX} | changed
    with pytest.raises(ShapeError, match=re.escape(message)):
        talking_heads_weights(QUERY, KEY, **given)
