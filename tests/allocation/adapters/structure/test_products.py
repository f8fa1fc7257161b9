"""Products around a softmax are heard, in three axes and in four, and others are let through."""

import pytest
import torch
from torch.nn import functional

from heedful.allocation.adapters.structure.products import Products

BATCH, HEADS, QUERIES, KEYS, DIM = 2, 3, 4, 5, 6


def heard(attend):
    """What was asked, what came of it, and what stood for what the heads mixed."""
    times, mixed = [], torch.randn(BATCH, QUERIES, HEADS, DIM)

    def answer(asked):
        times.append(asked)
        return mixed

    query, key, value = (
        torch.randn(BATCH, HEADS, length, DIM, requires_grad=True)
        for length in (QUERIES, KEYS, KEYS)
    )
    with Products(answer, lambda shape: torch.randn(shape).requires_grad_()):
        result = attend(query, key, value)
    return times, result, mixed, (query, key, value)


def in_four(query, key, value):
    return functional.softmax(query @ key.mT * 0.5 + 1, dim=-1) @ value


def in_three(query, key, value):
    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    mask = torch.zeros(len(query), QUERIES, KEYS)
    scores = mask.baddbmm(batch1=query, batch2=key.mT, alpha=0.5)
    return torch.bmm(scores.softmax(-1), value).unflatten(0, (BATCH, HEADS))


def fused(query, key, value):
    return functional.scaled_dot_product_attention(query, key, value, scale=0.5)


@pytest.mark.parametrize("attend", [in_four, in_three, fused])
def test_hears_what_is_multiplied(attend):
    (asked,), result, mixed, tensors = heard(attend)
    assert torch.equal(result, mixed.transpose(1, 2))
    assert asked.scale == pytest.approx(0.5)
    for one, other in zip(asked[:3], tensors, strict=True):
        assert torch.equal(one, other)


def test_lets_other_softmaxes_and_products_be():
    def route(query, key, value):
        return value.mean(-2).softmax(-1) @ torch.ones(DIM, DIM)

    times, result, _, (query, key, value) = heard(route)
    assert times == []
    assert torch.equal(result, route(query, key, value))
