"""Bidirectional attention flow: every context position looks at the query, and the query back."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.mask import Mask
from heedful.ops._shapes import check_axes
from heedful.ops._softmax import widen
from heedful.ops.co._texts import check_texts, hide, positions, weigh


class TwoWay(NamedTuple):
    """A context that knows a query, and the weights of both directions.

    Args:
        output: Four vectors side by side at each position of the context.
        query_weights: Context to query: how much each position of the query counts there.
        context_weights: Query to context: how much each position of the context counts.
    """

    output: Float[Tensor, "batch contexts four_widths"]
    query_weights: Float[Tensor, "batch contexts queries"]
    context_weights: Float[Tensor, "batch contexts"]


def bidaf_attention(
    context: Float[Tensor, "batch contexts width"],
    query: Float[Tensor, "batch queries width"],
    *,
    score_weight: Float[Tensor, "3 width"],
    context_mask: Mask | None = None,
    query_mask: Mask | None = None,
) -> TwoWay:
    """Join each context vector with what it sees of the query and what the query sees of all.

    With the context `h`, the query `u` and `S_tj = w . [h_t; u_j; h_t * u_j]`:
    `u~_t = sum_j softmax_j(S_tj) u_j`, `h~ = sum_t softmax_t(max_j S_tj) h_t`, and the output is
    `[h_t; u~_t; h_t * u~_t; h_t * h~]`.

    Args:
        context: The text that is read.
        query: The question about it.
        score_weight: `w`: one row for `h`, one for `u`, one for their product.
        context_mask: Which positions of the context exist. `None` means: all.
        query_mask: Which positions of the query exist. `None` means: all.

    Returns:
        The output, in the dtype of `context`, and the weights of both directions. A context
        position that does not exist gives zeros; without any query, `u~` and `h~` are 0.

    Raises:
        ShapeError: The tensors or the masks do not fit together, or a text has no position.
        ConfigError: A text is not floating-point, or a length of a mask exceeds that of the text.
        UnsupportedError: A mask that is not the same for every position of the other text.

    Source:
        Seo et al. 2016, arXiv:1611.01603, section 2, "Attention Flow Layer".

    Cost:
        Stores `contexts x queries` scores. `w` is split in three, so that nothing of size
        `contexts x queries x width` is made. Exact.
    """
    check_texts(context, query, same_width=True)
    width = context.shape[2]
    check_axes("score_weight", score_weight, rows=3, width=width)
    there = positions("context_mask", context_mask, context, query)
    asked = positions("query_mask", query_mask, query, context)
    h, u = hide(widen(context), there), hide(widen(query), asked)
    of_context, of_query, of_both = widen(score_weight).unbind(0)
    scores = (h @ of_context)[:, :, None] + (u @ of_query)[:, None] + (h * of_both) @ u.mT
    query_weights = hide(weigh(scores, asked), there)
    best = scores
    if asked is not None:
        best = scores.masked_fill(~asked[:, None], torch.finfo(scores.dtype).min)
        some = asked.any(1, keepdim=True).expand(context.shape[:2])
        there = some if there is None else there & some  # no question, nothing to look for
    context_weights = weigh(best.amax(2)[:, None], there)
    seen, most = query_weights @ u, context_weights @ h
    output = torch.cat([h, seen, h * seen, h * most], dim=2)
    dtype = context.dtype
    return TwoWay(output.to(dtype), query_weights.to(dtype), context_weights[:, 0].to(dtype))
