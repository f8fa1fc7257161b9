"""The module is the op with its parameters, three steps of them."""

import torch

from heedful.mask import Mask
from heedful.nn.co import AlternatingCoAttention
from heedful.ops.co import Step, alternating_attention


def test_is_the_op():
    module = AlternatingCoAttention(context_width=3, query_width=4, hidden=6)
    context, query = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    masks = {
        "context_mask": Mask.lengths(torch.tensor([4, 7])),
        "query_mask": Mask.lengths(torch.tensor([5, 2])),
    }
    names = ("first", "second", "third")
    steps = {name: Step(**dict(getattr(module, name).named_parameters())) for name in names}
    want = alternating_attention(context, query, **steps, **masks)
    for actual, other in zip(module(context, query, **masks), want, strict=True):
        assert torch.equal(actual, other)
    assert {name: tuple(x.shape) for name, x in module.named_parameters()} == {
        "first.weight": (6, 4),
        "first.score": (6,),
        "second.weight": (6, 3),
        "second.score": (6,),
        "second.guide": (6, 4),
        "third.weight": (6, 4),
        "third.score": (6,),
        "third.guide": (6, 3),
    }
