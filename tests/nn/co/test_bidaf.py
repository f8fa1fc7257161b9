"""The module is the op with its parameter."""

import torch

from heedful.mask import Mask
from heedful.nn.co import BidafAttention
from heedful.ops.co import bidaf_attention


def test_is_the_op():
    module = BidafAttention(width=3)
    context, query = torch.randn(2, 7, 3), torch.randn(2, 5, 3)
    masks = {
        "context_mask": Mask.lengths(torch.tensor([4, 7])),
        "query_mask": Mask.lengths(torch.tensor([5, 2])),
    }
    want = bidaf_attention(context, query, score_weight=module.score_weight, **masks)
    for actual, other in zip(module(context, query, **masks), want, strict=True):
        assert torch.equal(actual, other)
    assert module.score_weight.shape == (3, 3)
    assert want.output.shape == (2, 7, 12)
