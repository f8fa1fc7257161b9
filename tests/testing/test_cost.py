"""Costs are counted: by hand for sums small enough to do by hand."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from heedful.testing.cost import Cost, measure

LEFT = torch.ones(5, 3)
RIGHT = torch.ones(3, 7)


@pytest.mark.parametrize(
    "function, cost",
    [
        (lambda: LEFT @ RIGHT, Cost(flops=2 * 5 * 3 * 7, allocated=5 * 7 * 4, largest=35)),
        (lambda: LEFT.T.reshape(-1), Cost(flops=0, allocated=5 * 3 * 4, largest=15)),
        (lambda: LEFT + LEFT > 0, Cost(flops=0, allocated=15 * 4 + 15, largest=15)),
        (lambda: LEFT.sort(0), Cost(flops=0, allocated=15 * 4 + 15 * 8, largest=15)),
        (lambda: LEFT[:, None].expand(5, 99, 3), Cost(flops=0, allocated=0, largest=0)),
        (lambda: LEFT.clone().mul_(1), Cost(flops=0, allocated=5 * 3 * 4, largest=15)),
    ],
    ids=["product", "copy", "boolean", "two_results", "view", "in_place"],
)
def test_counts(function, cost):
    assert measure(function) == cost


def test_backward_counts():
    left = LEFT.clone().requires_grad_()
    forward = measure(lambda: left @ RIGHT)
    both = measure(lambda: (left @ RIGHT).sum().backward())
    assert both.flops == 2 * forward.flops
    assert both.allocated > forward.allocated


@pytest.mark.parametrize("backward, products", [(False, 2), (True, 7)])
def test_fused_attention_is_not_free(backward, products):
    query, key, value = (
        torch.ones(2, 3, length, 4, requires_grad=backward) for length in (5, 7, 7)
    )

    def run():
        output = scaled_dot_product_attention(query, key, value)
        if backward:
            output.sum().backward()

    assert measure(run).flops == products * 2 * 2 * 3 * 5 * 7 * 4
