"""Attention as pure functions: one mechanism per file, no parameters, one `Mask` for all."""

from collections.abc import Callable

from torch import Tensor

from heedful.ops._softmax import masked_softmax
from heedful.ops.adaptive_span import adaptive_span_attention, adaptive_span_weights
from heedful.ops.additive import additive_attention, additive_weights
from heedful.ops.block_sparse import block_sparse_attention, block_sparse_weights
from heedful.ops.blockwise import blockwise_attention, blockwise_partial, blockwise_weights, merge
from heedful.ops.concat import concat_attention, concat_weights
from heedful.ops.cosine import cosine_attention, cosine_weights
from heedful.ops.coverage import coverage_attention, coverage_weights
from heedful.ops.differential import differential_attention, differential_weights
from heedful.ops.dot import dot_attention, dot_weights
from heedful.ops.entmax import entmax_attention, entmax_weights, masked_entmax
from heedful.ops.general import general_attention, general_weights
from heedful.ops.hedgehog import hedgehog_attention, hedgehog_weights
from heedful.ops.linear import linear_attention, linear_step, linear_weights
from heedful.ops.linformer import linformer_attention, linformer_weights
from heedful.ops.location import location_attention, location_weights
from heedful.ops.low_rank import Projections, factorise, low_rank_attention, low_rank_weights
from heedful.ops.neighbourhood import neighbourhood_attention, neighbourhood_weights
from heedful.ops.nystrom import nystrom_attention, nystrom_weights
from heedful.ops.performer import orthogonal_projection, performer_attention, performer_weights
from heedful.ops.reformer import reformer_attention, reformer_weights
from heedful.ops.scalable import scalable_attention, scalable_weights
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights
from heedful.ops.sigmoid import sigmoid_attention, sigmoid_weights
from heedful.ops.sink import sink_attention, sink_weights
from heedful.ops.sparsemax import sparsemax_attention, sparsemax_weights
from heedful.ops.talking_heads import talking_heads_attention, talking_heads_weights
from heedful.ops.temperature import temperature_attention, temperature_weights
from heedful.ops.top_k import top_k_attention, top_k_weights
from heedful.ops.transformer_xl import transformer_xl_attention, transformer_xl_weights
from heedful.ops.window import window_attention, window_weights

# name (= file) -> attention function
OPS: dict[str, Callable[..., Tensor]] = {
    "adaptive_span": adaptive_span_attention,
    "additive": additive_attention,
    "block_sparse": block_sparse_attention,
    "blockwise": blockwise_attention,
    "concat": concat_attention,
    "cosine": cosine_attention,
    "coverage": coverage_attention,
    "differential": differential_attention,
    "dot": dot_attention,
    "entmax": entmax_attention,
    "general": general_attention,
    "hedgehog": hedgehog_attention,
    "linear": linear_attention,
    "linformer": linformer_attention,
    "location": location_attention,
    "low_rank": low_rank_attention,
    "neighbourhood": neighbourhood_attention,
    "nystrom": nystrom_attention,
    "performer": performer_attention,
    "reformer": reformer_attention,
    "scalable": scalable_attention,
    "scaled_dot": scaled_dot_attention,
    "sigmoid": sigmoid_attention,
    "sink": sink_attention,
    "sparsemax": sparsemax_attention,
    "talking_heads": talking_heads_attention,
    "temperature": temperature_attention,
    "top_k": top_k_attention,
    "transformer_xl": transformer_xl_attention,
    "window": window_attention,
}

__all__ = [
    "OPS",
    "Projections",
    "adaptive_span_attention",
    "adaptive_span_weights",
    "additive_attention",
    "additive_weights",
    "block_sparse_attention",
    "block_sparse_weights",
    "blockwise_attention",
    "blockwise_partial",
    "blockwise_weights",
    "concat_attention",
    "concat_weights",
    "cosine_attention",
    "cosine_weights",
    "coverage_attention",
    "coverage_weights",
    "differential_attention",
    "differential_weights",
    "dot_attention",
    "dot_weights",
    "entmax_attention",
    "entmax_weights",
    "factorise",
    "general_attention",
    "general_weights",
    "hedgehog_attention",
    "hedgehog_weights",
    "linear_attention",
    "linear_step",
    "linear_weights",
    "linformer_attention",
    "linformer_weights",
    "location_attention",
    "location_weights",
    "low_rank_attention",
    "low_rank_weights",
    "masked_entmax",
    "masked_softmax",
    "merge",
    "neighbourhood_attention",
    "neighbourhood_weights",
    "nystrom_attention",
    "nystrom_weights",
    "orthogonal_projection",
    "performer_attention",
    "performer_weights",
    "reformer_attention",
    "reformer_weights",
    "scalable_attention",
    "scalable_weights",
    "scaled_dot_attention",
    "scaled_dot_weights",
    "sigmoid_attention",
    "sigmoid_weights",
    "sink_attention",
    "sink_weights",
    "sparsemax_attention",
    "sparsemax_weights",
    "talking_heads_attention",
    "talking_heads_weights",
    "temperature_attention",
    "temperature_weights",
    "top_k_attention",
    "top_k_weights",
    "transformer_xl_attention",
    "transformer_xl_weights",
    "window_attention",
    "window_weights",
]
