"""Alternating co-attention: query, then context by the query, then query by the context."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops._shapes import check_axes
from heedful.ops._softmax import widen
from heedful.ops.co._texts import Summaries, check_texts, hide, positions, summarise


class Step(NamedTuple):
    """The weights of one look at a text under the guidance of a vector.

    Args:
        weight: `W_x`, for the positions of the text.
        score: `w_hx`, from the hidden vector of a position to its score.
        guide: `W_g`, for the guiding vector. `None`: nothing guides.
    """

    weight: Float[Tensor, "hidden width"]
    score: Float[Tensor, " hidden"]
    guide: Float[Tensor, "hidden guide_width"] | None = None


def alternating_attention(
    context: Float[Tensor, "batch contexts context_width"],
    query: Float[Tensor, "batch queries query_width"],
    *,
    first: Step,
    second: Step,
    third: Step,
    context_mask: Mask | None = None,
    query_mask: Mask | None = None,
) -> Summaries:
    """Sum the query, the context guided by that sum, and the query guided by the context's.

    One step is `A(X; g) = sum_i a_i x_i` with `H = tanh(W_x X + W_g g)`, `a = softmax(w_hx . H)`.
    The steps are `s = A(query; 0)`, `v = A(context; s)` and `q = A(query; v)`. Each has its own
    weights; give the same ones to share them.

    Args:
        context: One text; in the paper the regions of an image.
        query: The other one; in the paper the words of a question.
        first: The weights of the first step; without `guide`.
        second: The weights of the second step.
        third: The weights of the third step.
        context_mask: Which positions of the context exist. `None` means: all.
        query_mask: Which positions of the query exist. `None` means: all.

    Returns:
        `v` and `q` with the weights that made them, in the dtype of their text; 0 for a text
        without positions.

    Raises:
        ShapeError: The tensors or the masks do not fit together, or a text has no position.
        ConfigError: A text is not floating-point, a length of a mask exceeds that of the text,
            `first` has a `guide`, or another step has none.
        UnsupportedError: A mask that is not the same for every position of the other text.

    Source:
        Lu et al. 2016, arXiv:1606.00061, section 3.3, "Alternating Co-Attention".

    Cost:
        Stores `hidden` numbers a position; nothing of size `contexts x queries` is made. Exact.
    """
    check_texts(context, query)
    context_width, query_width = context.shape[2], query.shape[2]
    _check_step("first", first, query_width, None)
    _check_step("second", second, context_width, query_width)
    _check_step("third", third, query_width, context_width)
    there = positions("context_mask", context_mask, context, query)
    asked = positions("query_mask", query_mask, query, context)
    v, q = hide(widen(context), there), hide(widen(query), asked)
    start, _ = _look(q, None, first, asked)
    context_summary, context_weights = _look(v, start, second, there)
    query_summary, query_weights = _look(q, context_summary, third, asked)
    return Summaries(
        context_summary.to(context.dtype),
        query_summary.to(query.dtype),
        context_weights.to(context.dtype),
        query_weights.to(query.dtype),
    )


def _look(
    text: Float[Tensor, "batch length width"],
    guide: Float[Tensor, "batch guide_width"] | None,
    step: Step,
    there: Bool[Tensor, "batch length"] | None,
) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch length"]]:
    hidden = text @ widen(step.weight).mT
    if guide is not None and step.guide is not None:
        hidden = hidden + (guide @ widen(step.guide).mT)[:, None]
    return summarise(text, torch.tanh(hidden) @ widen(step.score), there)


def _check_step(name: str, step: Step, width: int, guide_width: int | None) -> None:
    hidden = len(step.score)
    check_axes(f"{name}.weight", step.weight, hidden=hidden, width=width)
    check_axes(f"{name}.score", step.score, hidden=hidden)
    if (step.guide is None) != (guide_width is None):
        need = "no guide because nothing was seen yet" if guide_width is None else "a guide"
        got = "none" if step.guide is None else f"one of shape {tuple(step.guide.shape)}"
        raise ConfigError(f"{name} must have {need}, got {got}")
    if step.guide is not None and guide_width is not None:
        check_axes(f"{name}.guide", step.guide, hidden=hidden, guide_width=guide_width)
