"""Layers of 8 bits in operations of a graph: the numbers of `LowPrecisionLinear`."""

import pytest
import torch
from torch import nn

from heedful.errors import UnsupportedError, VerificationError
from heedful.exporting.checks import check
from heedful.exporting.full_precision import in_full
from heedful.exporting.graph import Graph
from heedful.exporting.int8_layer import Int8Linear
from heedful.nn.low_precision import LowPrecisionLinear


class Tuple(nn.Module):
    """What graphs are of."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return (self.model(x),)


@pytest.mark.parametrize("bias", [True, False])
def test_it_says_what_the_layer_says(bias):
    torch.manual_seed(0)
    layer = LowPrecisionLinear(24, 17, bias, precision="int8").eval()
    x = torch.randn(3, 5, 24) * torch.tensor([1e-3, 1.0, 40.0, 0.0, 7.0])[:, None]
    with torch.no_grad():
        want, got = layer(x), Int8Linear(layer)(x)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-5)
    exact = nn.functional.linear(x, layer.weight, layer.bias)
    assert not torch.allclose(got, exact, atol=1e-4, rtol=1e-5)


def test_only_what_is_int8_becomes_one():
    model = nn.Sequential(
        LowPrecisionLinear(4, 5, precision="int8"), LowPrecisionLinear(5, 3, precision="bf16")
    )
    new, rounded = in_full(model, int8=True)
    assert [type(part) for part in new] == [Int8Linear, nn.Linear]
    assert rounded == ["1"]
    assert in_full(model)[1] == ["0", "1"]
    with pytest.raises(UnsupportedError, match=r"must have layers in int8 .*, got none"):
        in_full(model[1:], int8=True)


@pytest.mark.parametrize("wrong", [1, 3])
def test_one_row_may_be_rounded_the_other_way_but_not_most(wrong):
    model = nn.Linear(4, 2).eval()
    graph = Graph(
        name="model",
        module=Tuple(model),
        inputs=("x",),
        outputs=("y",),
        cases=[(torch.randn(3, 4),), (torch.randn(2, 4),)],
        axes={},
    )
    left = [wrong]

    def other(case):
        (said,) = graph.run(case)
        for row in said:
            if left[0]:
                left[0] -= 1
                row += 0.1 * said.abs().max().clamp(min=1)
        return (said,)

    if wrong == 1:
        found = check(graph, other, int8=True)
        assert found.largest_difference > found.allowed
        left[0] = wrong
        with pytest.raises(VerificationError, match="say what torch says within"):
            check(graph, other)
    else:
        with pytest.raises(VerificationError, match=r"in most rows, got a middle one \S+ times"):
            check(graph, other, int8=True)
