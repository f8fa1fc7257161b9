"""Adaptive span: every head looks back as far as it has learned to, and no further."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.mask._tensors import readable
from heedful.ops._band import Band, masked_shares
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_axes, check_qkv
from heedful.ops._softmax import share_heads, widen


def adaptive_span_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    span: Float[Tensor, " heads"],
    ramp: float,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `m(x) exp(scale * query_i . key_j)` over its sum, with `x` their distance.

    `m(x) = clamp((ramp + span - x) / ramp, 0, 1)` falls to 0 beyond the span of the head. Query `i`
    at position `p = i + keys - queries` is at distance `x = p - j`; it meets no key after its own.
    Unlike in the paper a query meets the key of its own position, and the score has no term for the
    distance.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        span: `z`, up to which distance keys count in full, one a head.
        ramp: `R`, over how many positions beyond that they fade. Above 0.
        mask: Which of these keys a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `ramp` is not above 0, a tensor is not floating-point, or a length of the mask
            exceeds `keys`.

    Source:
        Sukhbaatar et al. 2019, arXiv:1905.07799.

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at. Exact.
    """
    check_qkv(query, key)
    _check_span(query, span, ramp)
    batch, heads, queries, dim = query.shape
    keys, device = key.shape[2], query.device
    factor = 1 / math.sqrt(dim) if scale is None else scale
    scores = (widen(query) * factor) @ share_heads(widen(key), heads).mT
    position = torch.arange(keys - queries, keys, device=device)[:, None]
    distance = position - torch.arange(keys, device=device)
    amount = _amount(distance, widen(span)[:, None, None], ramp)
    visible = (distance >= 0) & (amount > 0)
    if mask is not None:
        seen = mask.to_bool(queries, keys, batch=batch, heads=heads, device=device)
        visible = visible if seen is None else visible & seen
    return masked_shares(scores, visible, amount).to(query.dtype)


@hidden_kept_out
def adaptive_span_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    span: Float[Tensor, " heads"],
    ramp: float,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `adaptive_span_weights`, skipping keys beyond every span.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        span: `z`, up to which distance keys count in full, one a head.
        ramp: `R`, over how many positions beyond that they fade. Above 0.
        mask: Which of these keys a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `ramp` is not above 0, a tensor is not floating-point, or a length of the mask
            exceeds `keys`.

    Source:
        Sukhbaatar et al. 2019, arXiv:1905.07799.

    Cost:
        With `reach = max(span) + ramp`: at most `2 * reach`, or `reach + 64`, scores a query. A GPU
        is waited for, to learn the largest span. A graph that is compiled or exported cannot know
        it and takes all keys: twice the scores of a full matrix. Exact.
    """
    check_qkv(query, key, value)
    _check_span(query, span, ramp)
    batch, heads, queries, dim = query.shape
    keys, device = key.shape[2], query.device
    factor = 1 / math.sqrt(dim) if scale is None else scale
    band = Band.of(queries, keys, behind=_furthest(span, ramp, keys), ahead=0)
    chunks = band.chunks(widen(query) * factor)
    scores = chunks @ band.slices(share_heads(widen(key), heads)).mT
    amount = _amount(band.distance(device), widen(span)[:, None, None, None], ramp)
    visible = band.visible(mask, batch, heads, device) & (amount > 0)
    weights = masked_shares(scores, visible, amount)
    near_value = band.slices(share_heads(widen(value), heads)).to(weights.dtype)
    return band.joined(weights @ near_value).to(query.dtype)


def _amount(distance: Tensor, span: Tensor, ramp: float) -> Tensor:
    return ((ramp + span - distance) / ramp).clamp(0, 1)


def _furthest(span: Tensor, ramp: float, keys: int) -> int:
    """A distance beyond which no head looks; all keys where the spans cannot be known."""
    if not readable(span):
        return keys
    furthest = float(span.detach().max()) + ramp
    return max(0, math.ceil(furthest)) if math.isfinite(furthest) else keys


def _check_span(query: Tensor, span: Tensor, ramp: float) -> None:
    check_axes("span", span, heads=query.shape[1])
    if not ramp > 0:
        raise ConfigError(f"ramp must be above 0, got {ramp}")
    if not span.is_floating_point():
        raise ConfigError(f"span must be floating-point, got {span.dtype}")
