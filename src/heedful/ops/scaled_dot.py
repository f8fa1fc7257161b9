"""Scaled dot-product attention: the score is `query . key / sqrt(dim)`."""

import math

from jaxtyping import Float
from torch import Tensor

from heedful.kernels.attend import attend
from heedful.kernels.call import check_bias
from heedful.mask import Mask
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import masked_softmax, share_heads, widen


def scaled_dot_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * query_i . key_j + bias_ij)`.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        mask: Which query may see which key. `None` means: all.
        bias: Added to the scores; broadcasts to `(batch, heads, queries, keys)`.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors, the bias or the mask do not fit together.
        ConfigError: A tensor is not floating-point, or a length of the mask exceeds `keys`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
        Shared heads: Ainslie et al. 2023, arXiv:2305.13245.

    Cost:
        Stores `queries x keys` scores per head. Exact.
    """
    check_qkv(query, key)
    if bias is not None:
        batch, heads, queries, _ = query.shape
        check_bias(bias, (batch, heads, queries, key.shape[2]))
    factor = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    scores = (widen(query) * factor) @ share_heads(widen(key), query.shape[1]).mT
    scores = scores if bias is None else scores + bias
    return masked_softmax(scores, mask).to(query.dtype)


def scaled_dot_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `scaled_dot_weights`, with the fastest kernel at hand.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        mask: Which query may see which key. `None` means: all.
        bias: Added to the scores; broadcasts to `(batch, heads, queries, keys)`.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.
        dropout: Share of the weights that is set to 0 at random, here and now: whoever calls
            passes 0 outside of training.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors, the bias or the mask do not fit together.
        ConfigError: A tensor is not floating-point, `dropout` is not in [0, 1), or a length of the
            mask exceeds `keys`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
        Shared heads: Ainslie et al. 2023, arXiv:2305.13245.

    Cost:
        Exact. As `heedful.attend`, which chooses the kernel.
    """
    return attend(query, key, value, mask=mask, bias=bias, scale=scale, dropout=dropout)
