"""The contract sees the mistakes that it is for: each wrong op fails the test named beside it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError
from torch.nn.functional import scaled_dot_product_attention

from heedful.mask import Mask
from heedful.ops import dot_attention, dot_weights
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract

GOOD = Claim(attention=dot_attention, weights=dot_weights, oracle=oracle.dot)


def lowered(mask, query, key):
    if mask is None:
        return None
    batch, heads, queries, _ = query.shape
    return mask.to_bool(queries, key.shape[2], batch=batch, heads=heads)


def forgets_mask(query, key, value, *, mask):
    return dot_attention(query, key, value)


def inverts_mask(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    mask = None if visible is None else Mask.dense(~visible)
    return dot_attention(query, key, value, mask=mask)


def scales(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    return scaled_dot_product_attention(query, key, value, visible, enable_gqa=True)


def reduces_precision(query, key, value, *, mask):
    return dot_attention(query, key, value.half().to(value.dtype), mask=mask)


def spreads_where_nothing_is_visible(query, key, value, *, mask):
    visible = lowered(mask, query, key)
    if visible is not None:
        some = visible.any(-1, keepdim=True)
        mask = Mask.dense(visible | ~some)
    return dot_attention(query, key, value, mask=mask)


def wrong_gradient(query, key, value, *, mask):
    return dot_attention(query, key.detach(), value, mask=mask)


def wrong_groups(query, key, value, *, mask):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat(1, groups, 1, 1), value.repeat(1, groups, 1, 1)
    return dot_attention(query, key, value, mask=mask)


def mixes_batch_rows(query, key, value, *, mask):
    return dot_attention(query, key, value, mask=mask) + value.mean((0, 1, 2))


def reads_hidden_keys(query, key, value, *, mask):
    return dot_attention(query, key - key.mean(2, keepdim=True) * query.mean(), value, mask=mask)


def ignores_strides(query: Tensor, key: Tensor, value: Tensor, *, mask):
    if not key.is_contiguous():
        key = key.flip(2)
    return dot_attention(query, key, value, mask=mask)


@pytest.mark.parametrize(
    "attention, test, arguments",
    [
        (forgets_mask, "test_matches_oracle", ("fewer_queries", "causal", torch.float32)),
        (forgets_mask, "test_hidden_keys_cannot_matter", ("causal",)),
        (inverts_mask, "test_matches_oracle", ("fewer_queries", "lengths", torch.float64)),
        (scales, "test_matches_oracle", ("fewer_queries", "none", torch.bfloat16)),
        (reduces_precision, "test_matches_oracle", ("fewer_queries", "none", torch.float32)),
        (
            spreads_where_nothing_is_visible,
            "test_query_that_sees_nothing",
            (torch.float32, 6),
        ),
        (wrong_gradient, "test_gradients", ("none", 3)),
        (wrong_groups, "test_grouped_heads_equal_repeated_heads", ("none",)),
        (mixes_batch_rows, "test_batch_rows_do_not_meet", ("none",)),
        (reads_hidden_keys, "test_hidden_keys_cannot_matter", ("lengths",)),
        (ignores_strides, "test_memory_layout_does_not_matter", ("causal",)),
        (scales, "test_weights_times_value_is_the_output", ("causal",)),
    ],
)
def test_contract_sees_the_fault(attention, test, arguments):
    check = getattr(AttentionContract(), test)
    check(GOOD, *arguments)
    with pytest.raises((AssertionError, GradcheckError)):
        check(replace(GOOD, attention=attention), *arguments)


def test_contract_sees_neighbours_being_read():
    def convolves(query, key, value, *, mask):
        return dot_attention(query, key + key.roll(1, 2), value, mask=mask)

    check = AttentionContract().test_order_of_keys_does_not_matter
    check(GOOD, "none")
    with pytest.raises(AssertionError, match="not close"):
        check(replace(GOOD, attention=convolves), "none")


def test_contract_sees_weights_that_do_not_sum_to_one():
    def too_small(query, key, *, mask):
        return dot_weights(query, key, mask=mask) / 2

    check = AttentionContract().test_weights_sum_to_one_or_zero
    check(GOOD, "causal")
    with pytest.raises(AssertionError, match="not close"):
        check(replace(GOOD, weights=too_small), "causal")
