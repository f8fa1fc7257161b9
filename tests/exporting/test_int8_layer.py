"""Layers of 8 bits in operations of a graph: the numbers of `LowPrecisionLinear`."""

import pytest
import torch
from torch import nn

from heedful.errors import UnsupportedError
from heedful.exporting.full_precision import in_full
from heedful.exporting.int8_layer import Int8Linear
from heedful.nn.low_precision import LowPrecisionLinear


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
