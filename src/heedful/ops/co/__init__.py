"""Co-attention as pure functions: two texts that look at each other, one mechanism per file."""

from collections.abc import Callable
from typing import Any

from heedful.ops.co._texts import Summaries
from heedful.ops.co.alternating import Step, alternating_attention
from heedful.ops.co.bidaf import TwoWay, bidaf_attention
from heedful.ops.co.parallel import parallel_attention

# name (= file) -> attention function
CO_OPS: dict[str, Callable[..., Any]] = {
    "alternating": alternating_attention,
    "bidaf": bidaf_attention,
    "parallel": parallel_attention,
}

__all__ = [
    "CO_OPS",
    "Step",
    "Summaries",
    "TwoWay",
    "alternating_attention",
    "bidaf_attention",
    "parallel_attention",
]
