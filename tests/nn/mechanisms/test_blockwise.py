"""The module is the op with its setting."""

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.mechanisms.blockwise import Blockwise
from heedful.ops.blockwise import blockwise_attention, blockwise_weights


def test_is_the_op():
    query, key, value = torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    module = Blockwise(heads=4, dim=8, block=4)
    want = blockwise_attention(query, key, value, block=4, mask=Mask.causal())
    assert torch.equal(module(query, key, value, mask=Mask.causal()), want)
    want = blockwise_weights(query, key, block=4, mask=Mask.causal())
    assert torch.equal(module.weights(query, key, mask=Mask.causal()), want)


def test_works_in_an_attention_module():
    attention = Attention(width=16, heads=4, mechanism=Blockwise(heads=4, dim=4, block=3))
    x = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(1))
    attention(x, mask=Mask.causal()).sum().backward()
    assert all(p.grad.isfinite().all() for p in attention.parameters())


def test_rejects_no_block():
    with pytest.raises(ConfigError, match="block must be at least 1, got 0"):
        Blockwise(heads=4, dim=8, block=0)
