"""The module is the op with its parameters."""

import torch

from heedful.mask import Mask
from heedful.nn.co import ParallelCoAttention
from heedful.ops.co import parallel_attention


def test_is_the_op():
    module = ParallelCoAttention(context_width=3, query_width=4, hidden=6)
    context, query = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    masks = {
        "context_mask": Mask.lengths(torch.tensor([4, 7])),
        "query_mask": Mask.lengths(torch.tensor([5, 2])),
    }
    want = parallel_attention(context, query, **dict(module.named_parameters()), **masks)
    for actual, other in zip(module(context, query, **masks), want, strict=True):
        assert torch.equal(actual, other)
    shapes = {name: tuple(x.shape) for name, x in module.named_parameters()}
    assert shapes == {
        "affinity_weight": (4, 3),
        "context_weight": (6, 3),
        "query_weight": (6, 4),
        "score_weight": (2, 6),
    }
