"""Parallel co-attention: two texts weigh each other's positions at the same time."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._shapes import check_axes
from heedful.ops._softmax import widen
from heedful.ops.co._texts import Summaries, check_texts, hide, positions, summarise


def parallel_attention(
    context: Float[Tensor, "batch contexts context_width"],
    query: Float[Tensor, "batch queries query_width"],
    *,
    affinity_weight: Float[Tensor, "query_width context_width"],
    context_weight: Float[Tensor, "hidden context_width"],
    query_weight: Float[Tensor, "hidden query_width"],
    score_weight: Float[Tensor, "2 hidden"],
    context_mask: Mask | None = None,
    query_mask: Mask | None = None,
) -> Summaries:
    """Sum each text by weights that the affinity to the other one gives.

    With the columns of `V` for the context and those of `Q` for the query:
    `C = tanh(Q^T W_b V)`, `H_v = tanh(W_v V + (W_q Q) C)`, `H_q = tanh(W_q Q + (W_v V) C^T)`, and
    the weights are `softmax(w_v . H_v)` and `softmax(w_q . H_q)`.

    Args:
        context: One text; in the paper the regions of an image.
        query: The other one; in the paper the words of a question.
        affinity_weight: `W_b`.
        context_weight: `W_v`.
        query_weight: `W_q`.
        score_weight: `w_v`, then `w_q`.
        context_mask: Which positions of the context exist. `None` means: all.
        query_mask: Which positions of the query exist. `None` means: all.

    Returns:
        Both sums and both weights, in the dtype of their text; 0 for a text without positions.

    Raises:
        ShapeError: The tensors or the masks do not fit together, or a text has no position.
        ConfigError: A text is not floating-point, or a length of a mask exceeds that of the text.
        UnsupportedError: A mask that is not the same for every position of the other text.

    Source:
        Lu et al. 2016, arXiv:1606.00061, section 3.3, "Parallel Co-Attention".

    Cost:
        Stores `contexts x queries` affinities, and `hidden` numbers a position. Exact.
    """
    check_texts(context, query)
    hidden = len(context_weight)
    widths = {"query_width": query.shape[2], "context_width": context.shape[2]}
    check_axes("affinity_weight", affinity_weight, **widths)
    check_axes("context_weight", context_weight, hidden=hidden, context_width=context.shape[2])
    check_axes("query_weight", query_weight, hidden=hidden, query_width=query.shape[2])
    check_axes("score_weight", score_weight, rows=2, hidden=hidden)
    there = positions("context_mask", context_mask, context, query)
    asked = positions("query_mask", query_mask, query, context)
    # Hidden positions are 0 from here on: their projections and affinities are so as well, and add
    # nothing to the sums over the other text.
    v, q = hide(widen(context), there), hide(widen(query), asked)
    affinity = torch.tanh(q @ widen(affinity_weight) @ v.mT)
    from_context, from_query = v @ widen(context_weight).mT, q @ widen(query_weight).mT
    of_context = torch.tanh(from_context + affinity.mT @ from_query)
    of_query = torch.tanh(from_query + affinity @ from_context)
    of_scores = widen(score_weight)
    context_summary, context_weights = summarise(v, of_context @ of_scores[0], there)
    query_summary, query_weights = summarise(q, of_query @ of_scores[1], asked)
    return Summaries(
        context_summary.to(context.dtype),
        query_summary.to(query.dtype),
        context_weights.to(context.dtype),
        query_weights.to(query.dtype),
    )
