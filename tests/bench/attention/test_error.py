"""Errors are relative to float64, on some rows, and see what the mask hides."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from heedful.bench.attention.cases import Case
from heedful.bench.attention.error import relative_error
from heedful.bench.attention.problem import draw, sdpa


def case(**settings):
    sizes = {"batch": 2, "heads": 3, "queries": 130, "keys": 140, "dim": 16}
    return Case(**{"name": "x", "dtype": "fp32", **sizes, **settings})


def exact(problem):
    query, key, value = (x.double() for x in problem.tensors())
    shape = query.shape[0], query.shape[1], query.shape[2], key.shape[2]
    seen = None
    if problem.mask is not None:
        seen = problem.mask.to_bool(shape[2], shape[3], batch=shape[0], heads=shape[1])
    query = query.requires_grad_()
    output = scaled_dot_product_attention(query, key, value, attn_mask=seen)
    output.backward(problem.gradient.double())
    return output.detach(), query.grad


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"density": 1 / 2}])
@pytest.mark.parametrize("backward", [False, True])
def test_what_is_exact_has_no_error(settings, backward):
    problem = draw(case(backward=backward, **settings))
    outcome = exact(problem)[: 1 + backward]
    assert relative_error(problem, outcome, problem.mask) < 1e-14


def test_a_relative_error_is_found_in_the_output_and_in_the_gradient():
    problem = draw(case(backward=True))
    output, gradient = exact(problem)
    assert relative_error(problem, (1.01 * output, gradient), None) == pytest.approx(0.01)
    assert relative_error(problem, (output, 1.02 * gradient), None) == pytest.approx(0.02)
    assert relative_error(problem, (1.03 * output, 1.02 * gradient), None) == pytest.approx(0.03)


def test_a_mask_that_was_not_kept_is_an_error():
    problem = draw(case(causal=True))
    dense = scaled_dot_product_attention(*problem.tensors())
    assert relative_error(problem, (dense,), problem.mask) > 0.1
    assert relative_error(problem, (dense,), None) < 1e-6


def test_the_last_query_counts_and_the_third_head_does_not():
    problem = draw(case())
    output, _ = exact(problem)
    output[0, 2] = 99.0
    output[1] = 99.0
    assert relative_error(problem, (output,), None) < 1e-14
    output[0, 1, -1] += 1.0
    assert relative_error(problem, (output,), None) > 0.1


def test_errors_of_pytorch_are_those_of_its_dtype():
    for dtype, eps in (("fp32", 2**-23), ("bf16", 2**-8)):
        problem = draw(case(dtype=dtype, backward=True))
        error = relative_error(problem, sdpa(problem)(), None)
        assert eps / 100 < error < 8 * eps


def test_a_single_key_has_a_gradient_of_zero():
    problem = draw(case(keys=1, backward=True))
    outcome = exact(problem)
    assert relative_error(problem, outcome, None) < 1e-14
    assert relative_error(problem, (outcome[0], torch.ones(2, 3, 130, 16)), None) > 1
