"""What the co-attentions share: two texts, their masks, and weights over the positions of one."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops._softmax import masked_softmax


class Summaries(NamedTuple):
    """Each of two texts as one vector, and the weights of its positions.

    Args:
        context_summary: The weighted sum of the context.
        query_summary: The weighted sum of the query.
        context_weights: How much each position of the context counts.
        query_weights: How much each position of the query counts.
    """

    context_summary: Float[Tensor, "batch context_width"]
    query_summary: Float[Tensor, "batch query_width"]
    context_weights: Float[Tensor, "batch contexts"]
    query_weights: Float[Tensor, "batch queries"]


def check_texts(context: Tensor, query: Tensor, *, same_width: bool = False) -> None:
    """Raise unless both are `(batch, length, width)` and fit together.

    Raises:
        ShapeError: They do not fit.
        ConfigError: One of them is not floating-point.
    """
    for name, text in (("context", context), ("query", query)):
        if text.ndim != 3:
            raise ShapeError(
                f"{name} must be 3-D (batch, length, width), "
                f"got a tensor of shape {tuple(text.shape)}"
            )
        if not text.is_floating_point():
            raise ConfigError(f"{name} must be floating-point, got {text.dtype}")
        if not text.shape[1]:
            raise ShapeError(f"{name} must have at least one position, got {tuple(text.shape)}")
    if context.shape[0] != query.shape[0]:
        raise ShapeError(
            "context and query must have the same batch size, "
            f"got {context.shape[0]} and {query.shape[0]}"
        )
    if same_width and context.shape[2] != query.shape[2]:
        raise ShapeError(
            "context and query must have the same width, "
            f"got {context.shape[2]} and {query.shape[2]}"
        )


def positions(
    name: str, mask: Mask | None, text: Tensor, other: Tensor
) -> Bool[Tensor, "batch length"] | None:
    """The positions of `text` that exist; `None`: all.

    Raises:
        ShapeError: The mask does not fit the texts.
        ConfigError: A length of the mask exceeds that of the text.
        UnsupportedError: The mask tells the positions of the other text apart.
    """
    if mask is None:
        return None
    batch, length = text.shape[:2]
    parts = mask.factors(other.shape[1], length, batch=batch, device=text.device)
    if parts is None or parts.causal is not None:
        raise UnsupportedError(
            f"{name} must hide the same positions from every position of the other text, "
            "because a summary is made for all of them together, "
            f"got {mask}"
        )
    return None if parts.keys is None else parts.keys[:, 0].expand(batch, length)


def hide(
    text: Float[Tensor, "batch length width"], there: Bool[Tensor, "batch length"] | None
) -> Float[Tensor, "batch length width"]:
    """Zeros at the positions that do not exist."""
    return text if there is None else text.masked_fill(~there[:, :, None], 0.0)


def weigh(
    scores: Float[Tensor, "batch rows length"], there: Bool[Tensor, "batch length"] | None
) -> Float[Tensor, "batch rows length"]:
    """Weights over the positions that exist, for each row of scores."""
    mask = None if there is None else Mask.dense(there[:, None, None])
    return masked_softmax(scores[:, None], mask)[:, 0]


def summarise(
    text: Float[Tensor, "batch length width"],
    scores: Float[Tensor, "batch length"],
    there: Bool[Tensor, "batch length"] | None,
) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch length"]]:
    """The sum of a text by the softmax of its scores, and the weights."""
    weights = weigh(scores[:, None], there)
    return (weights @ text)[:, 0], weights[:, 0]
