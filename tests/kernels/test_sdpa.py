"""Torch's kernel gets its causal switch where it may, and one mask of numbers otherwise."""

import pytest
import torch

from heedful.kernels import sdpa
from heedful.kernels.call import Call
from heedful.mask import Mask


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.fixture
def seen(monkeypatch):
    found = {}

    def kernel(query, key, value, **settings):
        found.update(settings)
        return query

    monkeypatch.setattr(sdpa, "scaled_dot_product_attention", kernel)
    return found


@pytest.mark.parametrize(
    "mask, queries, switch, given",
    [
        (None, 7, False, False),
        (Mask.full(), 7, False, False),
        (Mask.causal(), 7, True, False),
        (Mask.causal("start"), 7, True, False),
        (Mask.causal(), 5, False, True),
        (Mask.causal(), 1, False, False),
        (Mask.window(7), 7, True, False),
        (Mask.window(6), 7, False, True),
        (Mask.causal() & Mask.lengths(torch.tensor([7, 7])), 7, True, False),
        (Mask.causal() & Mask.lengths(torch.tensor([7, 6])), 7, False, True),
    ],
)
def test_no_mask_that_is_not_needed(seen, mask, queries, switch, given):
    sdpa.run(Call.of(draw(2, 4, queries, 3), draw(2, 4, 7, 3), draw(2, 4, 7, 3), mask))
    assert seen["is_causal"] is switch
    assert (seen["attn_mask"] is not None) is given


def test_a_bias_and_a_causal_mask_become_one(seen):
    x, bias = draw(2, 4, 7, 3), draw(7, 7)
    sdpa.run(Call.of(x, x, x, Mask.causal(), bias))
    assert seen["is_causal"] is False
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    assert torch.equal(seen["attn_mask"][0, 0], bias.masked_fill(hidden, float("-inf")))


@pytest.mark.parametrize("kv_heads, shared", [(4, False), (2, True), (1, True)])
def test_scale_dropout_and_shared_heads_are_passed_on(seen, kv_heads, shared):
    x, y = draw(2, 4, 5, 3), draw(2, kv_heads, 7, 3)
    sdpa.run(Call.of(x, y, y, bias=draw(5, 7).double(), scale=0.3, dropout=0.25))
    assert (seen["scale"], seen["dropout_p"], seen["enable_gqa"]) == (0.3, 0.25, shared)
    assert seen["attn_mask"].dtype == x.dtype


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.0])
def test_a_scale_of_any_sign_may_meet_a_causal_mask(scale):
    query, key, value = draw(3, 1, 2, 5, 8)
    call = Call.of(query, key, value, Mask.causal(), scale=scale)
    scores = (query.double() @ key.double().transpose(2, 3)) * scale
    hidden = ~torch.ones(5, 5, dtype=torch.bool).tril()
    want = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value.double()
    torch.testing.assert_close(sdpa.run(call).double(), want, atol=1e-5, rtol=1e-5)


def test_refuses_nothing():
    x = draw(2, 4, 5, 3, dtype=torch.float16)
    assert sdpa.refuses(Call.of(x, x, x, Mask.causal(), draw(5, 5), dropout=0.5)) is None


def test_symbols_for_sizes_are_no_hindrance():
    def attend(x):
        return sdpa.run(Call.of(x, x[:, :2], x[:, :2], Mask.causal()))

    torch.compiler.reset()
    try:
        compiled = torch.compile(attend, fullgraph=True, backend="aot_eager", dynamic=True)
        for length in (5, 9):
            x = draw(2, 4, length, 3)
            assert torch.equal(compiled(x), attend(x))
    finally:
        torch.compiler.reset()


@pytest.mark.parametrize("shape", [(), (7,), (5, 1), (1, 5, 7), (4, 1, 7), (2, 1, 1, 7)])
@pytest.mark.parametrize("mask", [None, Mask.causal()])
def test_a_bias_may_have_any_number_of_axes(shape, mask):
    x, y, bias = draw(2, 4, 5, 3), draw(2, 4, 7, 3), draw(*shape)
    output = sdpa.run(Call.of(x, y, y, mask, bias))
    whole = sdpa.run(Call.of(x, y, y, mask, bias.expand(2, 4, 5, 7)))
    assert torch.equal(output, whole)
