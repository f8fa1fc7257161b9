"""Tensors, masks and calls of a case."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from heedful.bench.attention import problem as module
from heedful.bench.attention.cases import Case
from heedful.bench.attention.problem import draw, flex, ours, sdpa, visible_fraction

SIZES = {"batch": 2, "heads": 3, "queries": 256, "keys": 384, "dim": 16}


def case(**settings):
    return Case(**{"name": "x", "dtype": "fp32", **SIZES, **settings})


def test_cases_of_one_shape_get_the_same_tensors():
    first, second = draw(case()), draw(case(causal=True, backward=True))
    for name in ("query", "key", "value", "gradient"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.query, draw(case(), seed=2).query)
    assert first.query.shape == first.gradient.shape == (2, 3, 256, 16)
    assert first.key.shape == first.value.shape == (2, 3, 384, 16)
    assert not torch.equal(first.key, first.value)


def test_keys_and_values_are_one_piece_of_memory():
    found = draw(case(dtype="bf16"))
    assert found.pair.is_contiguous()
    assert found.pair.numel() * found.pair.element_size() == case(dtype="bf16").bytes()
    assert found.key.data_ptr() == found.pair.data_ptr()
    assert {x.dtype for x in (*found.tensors(), found.gradient)} == {torch.bfloat16}
    assert {x.dtype for x in found.tensors("fp32")} == {torch.float32}


def test_blocks_are_drawn_for_each_head_and_row_with_the_exact_density():
    found = draw(case(density=1 / 3))
    visible = found.mask.to_bool(256, 384, batch=2, heads=3)
    assert visible.shape == (2, 3, 256, 384)
    assert (visible.sum(-1) == 128).all()
    assert not torch.equal(visible[:, 0], visible[:, 1])
    assert visible_fraction(found) == 1 / 3


@pytest.mark.parametrize("sizes", [{}, {"queries": 384, "keys": 256}])
def test_causal_is_what_the_switch_of_pytorch_means(attend, sizes):
    found = draw(case(causal=True, **sizes))
    torch.testing.assert_close(ours(found)(), sdpa(found)())
    assert attend.mask == [found.mask]


def test_the_kernel_that_was_asked_for_runs(attend):
    ours(draw(case()), "plain")()
    assert attend.impl == ["plain"]
    assert attend.mask == [None]


def test_sdpa_is_dense_where_ours_has_blocks():
    found = draw(case(density=1 / 3))
    want = scaled_dot_product_attention(*found.tensors())
    assert torch.equal(sdpa(found)()[0], want)


def test_the_baseline_of_a_selection_is_float32():
    found = draw(case(dtype="bf16", method="select_blocks"))
    assert sdpa(found)()[0].dtype == torch.float32


def test_backward_gives_three_gradients(attend):
    found = draw(case(backward=True))
    output, *gradients = ours(found)()
    inputs = [x.clone().requires_grad_() for x in found.tensors()]
    want = scaled_dot_product_attention(*inputs)
    want.backward(found.gradient)
    torch.testing.assert_close(output, want.detach())
    for gradient, tensor in zip(gradients, inputs, strict=True):
        torch.testing.assert_close(gradient, tensor.grad)
    assert not found.query.requires_grad
    again = ours(found)()
    assert torch.equal(again[1], gradients[0])  # nothing adds up


def test_forward_keeps_no_graph(attend):
    assert not ours(draw(case()))()[0].requires_grad


def test_flex_sees_the_mask_and_is_left_out_where_it_cannot_run(monkeypatch):
    given = []

    def compiled(function, *, dynamic):
        def call(query, key, value, *, block_mask):
            given.append((dynamic, block_mask))
            return scaled_dot_product_attention(query, key, value)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    assert flex(draw(case(backward=True))) is None
    assert flex(draw(case()))()[0].shape == (2, 3, 256, 16)
    assert given[-1] == (False, None)
    flex(draw(case(density=1 / 3)))
    assert given[-1][1].sparsity() == pytest.approx(100 * 2 / 3)

    def broken(function, *, dynamic):
        def call(*tensors, block_mask):
            raise NotImplementedError

        return call

    monkeypatch.setattr(torch, "compile", broken)
    assert flex(draw(case())) is None


def test_the_overhead_and_its_kernel(attend, monkeypatch):
    seen = []

    class Kernel:
        @staticmethod
        def run(call):
            seen.append(call)
            return call.query

    from heedful.kernels import _kernels, choose

    monkeypatch.setattr(_kernels, "KERNELS", {"mine": Kernel})
    monkeypatch.setattr(_kernels, "named", lambda impl, call: Kernel)
    monkeypatch.setattr(choose, "choose", lambda call: "mine")
    for impl in ("auto", "other"):
        calls = module.overhead(draw(case()), impl)
        assert list(calls) == ["attend", "kernel", "sdpa"]
        for call in calls.values():
            call()
    assert attend.impl == ["auto", "other"]
    assert len(seen) == 2
    assert seen[0].scale == 0.25


def test_a_selection_is_part_of_ours(attend):
    found = draw(case(name="select", batch=1, queries=1024, keys=1024, method="select_blocks"))
    output, again = ours(found), ours(found)
    output()
    again()
    assert len(attend.mask) == 2  # selected anew in every call
    grid = attend.mask[0].pattern(1024, 1024, batch=1, heads=3).grid
    assert grid.shape == (1, 3, 8, 8)
    assert visible_fraction(found) == grid.double().mean().item() < 1


def test_pages_are_kept_and_the_best_of_them_chosen(attend):
    found = draw(
        case(
            name="decode",
            batch=1,
            queries=1,
            keys=1024,
            dim=64,
            density=1 / 4,
            method="select_pages",
        )
    )
    ours(found)()
    visible = attend.mask[0].to_bool(1, 1024, batch=1, heads=3)
    assert visible.shape == (1, 3, 1, 1024)
    assert (visible.sum(-1) == 256).all()
    assert found.query.shape == (1, 3, 1, 64)


def test_structured_rows_come_from_the_planted_structure():
    found = draw(case(name="select", batch=2, queries=1024, keys=1024, dim=64))
    weights = (found.query @ found.key.mT / 8).softmax(-1)
    top = weights.topk(1024 * 6 // 8, -1).values.sum(-1)
    assert top.mean() > 0.99
