"""Alpha-entmax attention: weights between those of softmax and sparsemax, with exact zeros."""

import math

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.mask._tensors import readable
from heedful.ops._dot import drop, hide, scaled_scores, visible_keys
from heedful.ops._entmax import entmax
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import aggregate, widen


def masked_entmax(
    scores: Float[Tensor, "batch heads queries keys"],
    *,
    alpha: float | Float[Tensor, " heads"] = 1.5,
    mask: Mask | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Turn scores into weights by alpha-entmax: what `masked_softmax` is for softmax.

    Args:
        scores: Any real numbers; those of hidden keys do not matter.
        alpha: How sparse: one number, at least 1, or one per head, from 1 to 2, to be learned.
        mask: Which query may see which key. `None` means: all.

    Returns:
        The weights, in the dtype of `scores`. Hidden keys get exactly 0. A query that sees nothing
        gets zeros, and its scores get gradient 0.

    Raises:
        ShapeError: The mask or `alpha` does not fit the scores.
        ConfigError: `alpha` is out of its range or is an integer tensor, or a length of the mask
            exceeds the number of keys.
    """
    _check_alpha(alpha, heads=scores.shape[1])
    wide = widen(scores)
    visible = visible_keys(wide, mask)
    if isinstance(alpha, Tensor):
        alpha = alpha.to(wide.dtype)[None, :, None, None]
    else:
        alpha = float(alpha)
    return drop(entmax(hide(wide, visible), alpha), visible).to(scores.dtype)


def entmax_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    alpha: float | Float[Tensor, " heads"] = 1.5,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by alpha-entmax: low scores get exactly 0.

    `p_j = relu((alpha - 1) s_j - tau)^(1 / (alpha - 1))`, with `s_j = scale * query_i . key_j` and
    the `tau` for which they sum to one. It is softmax for `alpha = 1` and sparsemax for 2.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        alpha: How sparse: one number, at least 1, or one per head, from 1 to 2, to be learned.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `alpha` is out of its range, a tensor is not floating-point, or a length of the
            mask exceeds `keys`.

    Source:
        Peters et al. 2019, arXiv:1905.05702. Learned alpha: Correia et al. 2019, arXiv:1909.00015.

    Cost:
        Stores `queries x keys` scores per head, and goes over them again 8 times for `alpha = 1.5`,
        14 times otherwise (2 is sorted). Exact up to rounding; any derivative is right, and the
        backward pass reads only the weights.
    """
    check_qkv(query, key)
    scores = scaled_scores(query, key, scale)
    return masked_entmax(scores, alpha=alpha, mask=mask).to(query.dtype)


@hidden_kept_out
def entmax_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    alpha: float | Float[Tensor, " heads"] = 1.5,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `entmax_weights`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        alpha: How sparse: one number, at least 1, or one per head, from 1 to 2, to be learned.
        mask: Which query may see which key. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `alpha` is out of its range, a tensor is not floating-point, or a length of the
            mask exceeds `keys`.

    Source:
        Peters et al. 2019, arXiv:1905.05702. Learned alpha: Correia et al. 2019, arXiv:1909.00015.

    Cost:
        Stores `queries x keys` scores per head, and goes over them again 8 times for `alpha = 1.5`,
        14 times otherwise (2 is sorted). Exact up to rounding; any derivative is right, and the
        backward pass reads only the weights.
    """
    check_qkv(query, key, value)
    weights = entmax_weights(widen(query), key, alpha=alpha, mask=mask, scale=scale)
    return aggregate(weights, value, query.dtype)


def _check_alpha(alpha: float | Tensor, *, heads: int) -> None:
    if not isinstance(alpha, Tensor):
        if not 1 <= alpha < math.inf:
            raise ConfigError(f"alpha must be finite and at least 1, got {alpha}")
        return
    check_axes("alpha", alpha, heads=heads)
    if not alpha.is_floating_point():
        raise ConfigError(f"alpha must be floating-point, got {alpha.dtype}")
    # On a GPU the answer would make the CPU wait for it, in every layer.
    if alpha.device.type != "cpu" or not readable(alpha):
        return
    try:
        low, high = (float(x) for x in alpha.detach().aminmax())
    except RuntimeError:  # under torch.vmap there is no one value to look at
        return
    if not (low >= 1 and high <= 2):
        raise ConfigError(f"alpha must be from 1 to 2 where it is a tensor, got {low} to {high}")
