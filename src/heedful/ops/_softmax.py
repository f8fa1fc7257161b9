"""What every op ends with: masked softmax and the weighted sum, in float32 at least."""

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.kernels.call import share_heads as share_heads
from heedful.mask import Mask


def widen(tensor: Tensor) -> Tensor:
    """Half precision becomes float32; anything else stays as it is.

    Scores of half precision would lose in the exponent what the softmax then magnifies, so the ops
    compute wide and round once, at the end.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def masked_softmax(
    scores: Float[Tensor, "batch heads queries keys"], mask: Mask | None = None
) -> Float[Tensor, "batch heads queries keys"]:
    """Turn scores into weights that sum to one over the visible keys.

    Args:
        scores: Any real numbers; those of hidden keys do not matter.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weights, in the dtype of `scores`. Hidden keys get exactly 0. A query that sees nothing
        gets zeros, and its scores get gradient 0.

    Raises:
        ShapeError: The mask does not fit the scores.
        ConfigError: A length of the mask exceeds the number of keys.
    """
    batch, heads, queries, keys = scores.shape
    visible = None
    if mask is not None:
        visible = mask.to_bool(queries, keys, batch=batch, heads=heads, device=scores.device)
    if visible is None:
        return widen(scores).softmax(-1).to(scores.dtype)
    # The lowest number, not -inf: a row that sees nothing then gets equal weights instead of NaN,
    # in the result and in the gradient, and the last line hides them.
    wide = widen(scores)
    weights = wide.masked_fill(~visible, torch.finfo(wide.dtype).min).softmax(-1)
    return weights.masked_fill(~visible, 0.0).to(scores.dtype)


def aggregate(
    weights: Float[Tensor, "batch heads queries keys"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    dtype: torch.dtype,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """The weighted sum of `value`, rounded to `dtype` once."""
    return (weights @ share_heads(value, weights.shape[1]).to(weights.dtype)).to(dtype)
