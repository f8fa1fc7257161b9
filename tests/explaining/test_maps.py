"""Maps are numbers of numpy, whatever they were computed in."""

import numpy as np
import pytest
import torch

from heedful.explaining.maps import Maps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_tensor_becomes_an_array(dtype):
    found = Maps.of(torch.tensor([[1.5, -2.0]], dtype=dtype, requires_grad=True), 0.25)
    assert found.weights.dtype == np.float64
    assert found.weights.tolist() == [[1.5, -2.0]]
    assert found.error == 0.25
    assert Maps(found.weights).error == 0.0
