"""What is left of dropped attention: one vector, and no look at anything."""

import torch

from heedful.mask import Mask
from heedful.nn.cache import KeyValueCache
from heedful.nn.constant import Constant

WIDTH = 6


def test_every_query_gets_the_vector_and_its_gradient():
    constant = Constant(WIDTH)
    assert torch.equal(constant(torch.ones(2, 5, WIDTH)), torch.zeros(2, 5, WIDTH))
    constant.vector.data = torch.arange(1.0, WIDTH + 1)
    output = constant(torch.ones(2, 5, WIDTH))
    assert torch.equal(output, torch.arange(1.0, WIDTH + 1).expand(2, 5, WIDTH))
    output.sum().backward()
    assert torch.equal(constant.vector.grad, torch.full((WIDTH,), 10.0))


def test_nothing_is_looked_at():
    constant, cache = Constant(WIDTH), KeyValueCache()
    nothing = torch.full((2, 5, WIDTH), torch.nan, requires_grad=True)
    context = torch.full((2, 7, WIDTH), torch.nan)
    output = constant(nothing, context, mask=Mask.causal(), cache=cache)
    assert torch.equal(output, torch.zeros(2, 5, WIDTH))
    assert cache.length == 0
    output.sum().backward()
    assert nothing.grad is None


def test_the_output_has_the_dtype_of_the_input():
    output = Constant(WIDTH)(torch.ones(2, 5, WIDTH, dtype=torch.bfloat16))
    assert output.dtype == torch.bfloat16
