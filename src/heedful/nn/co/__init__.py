"""Co-attention with its parameters: two texts, or two streams, that look at each other."""

from torch import nn

from heedful.nn.co.alternating import AlternatingCoAttention
from heedful.nn.co.bidaf import BidafAttention
from heedful.nn.co.cross_modal import CrossModalLayer, Streams
from heedful.nn.co.parallel import ParallelCoAttention

# name (= file) -> module
CO_MODULES: dict[str, type[nn.Module]] = {
    "alternating": AlternatingCoAttention,
    "bidaf": BidafAttention,
    "cross_modal": CrossModalLayer,
    "parallel": ParallelCoAttention,
}

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "AlternatingCoAttention",
    "BidafAttention",
    "CO_MODULES",
    "CrossModalLayer",
    "ParallelCoAttention",
    "Streams",
]
