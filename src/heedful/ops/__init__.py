"""Attention as pure functions: one mechanism per file, no parameters, one `Mask` for all."""

from collections.abc import Callable

from torch import Tensor

from heedful.ops._softmax import masked_softmax
from heedful.ops.additive import additive_attention, additive_weights
from heedful.ops.coverage import coverage_attention, coverage_weights
from heedful.ops.dot import dot_attention, dot_weights
from heedful.ops.general import general_attention, general_weights
from heedful.ops.location import location_attention, location_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights

# name (= file) -> attention function
OPS: dict[str, Callable[..., Tensor]] = {
    "additive": additive_attention,
    "coverage": coverage_attention,
    "dot": dot_attention,
    "general": general_attention,
    "location": location_attention,
    "scaled_dot": scaled_dot_attention,
}

__all__ = [
    "OPS",
    "additive_attention",
    "additive_weights",
    "coverage_attention",
    "coverage_weights",
    "dot_attention",
    "dot_weights",
    "general_attention",
    "general_weights",
    "location_attention",
    "location_weights",
    "masked_softmax",
    "scaled_dot_attention",
    "scaled_dot_weights",
]
