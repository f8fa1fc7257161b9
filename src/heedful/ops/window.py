"""Window attention: scaled dot products with the near keys and the first ones, in linear memory."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.kernels.attend import attend
from heedful.kernels.native import native
from heedful.mask import Mask
from heedful.ops._band import Band, look_up, masked_shares
from heedful.ops._hidden import hidden_kept_out
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import share_heads, widen
from heedful.ops.scaled_dot import scaled_dot_weights


def window_weights(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    *,
    window: int,
    ahead: int = 0,
    sinks: int = 0,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Weigh the keys by `softmax_j(scale * query_i . key_j)`, over the near keys and the first.

    Query `i` at position `p = i + keys - queries` meets key `j` when `j <= p + ahead` and
    (`p - j < window` or `j < sinks`), as `Mask.window` says.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        window: Keys met behind and including the query's position. At least 1.
        ahead: Keys met after it.
        sinks: Leading keys that are met at any distance behind the query.
        mask: Which of these keys a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        Weights that sum to one over the visible keys, or zeros where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `window < 1`, `ahead < 0` or `sinks < 0`, a tensor is not floating-point, or a
            length of the mask exceeds `keys`.

    Source:
        Beltagy et al. 2020, arXiv:2004.05150 (window).
        Xiao et al. 2023, arXiv:2309.17453 (sinks).

    Cost:
        The whole matrix of `queries x keys` weights a head, because it is what is looked at. Exact.
    """
    near = Mask.window(window, ahead=ahead, sinks=sinks)
    return scaled_dot_weights(query, key, mask=near if mask is None else near & mask, scale=scale)


@hidden_kept_out
def window_attention(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    window: int,
    ahead: int = 0,
    sinks: int = 0,
    mask: Mask | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Sum `value` by the weights of `window_weights`, without the matrix of all scores.

    Args:
        query: What is looked for.
        key: What is looked at; `kv_heads` divides `heads`.
        value: What is returned.
        window: Keys met behind and including the query's position. At least 1.
        ahead: Keys met after it.
        sinks: Leading keys that are met at any distance behind the query.
        mask: Which of these keys a query may see. `None` means: all.
        scale: Factor of the dot product. `None` means `1 / sqrt(dim)`.

    Returns:
        The weighted sum of `value`, in the dtype of `query`; 0 where nothing is visible.

    Raises:
        ShapeError: The tensors or the mask do not fit together.
        ConfigError: `window < 1`, `ahead < 0` or `sinks < 0`, a tensor is not floating-point, or a
            length of the mask exceeds `keys`.

    Source:
        Beltagy et al. 2020, arXiv:2004.05150 (window).
        Xiao et al. 2023, arXiv:2309.17453 (sinks).

    Cost:
        On CPU the native kernel of `heedful.attend` skips what the window hides. Where it cannot
        take the call, chunks of queries meet the keys near them: `2 * (window + ahead) + sinks`
        scores a query, or up to 64 more where the window is smaller than that, and the mask is
        looked up for these pairs only. Exact.
    """
    check_qkv(query, key, value)
    band_mask = Mask.window(window, ahead=ahead, sinks=sinks)
    both = band_mask if mask is None else band_mask & mask
    if native(query, key, value, both, scale):
        return attend(query, key, value, mask=both, scale=scale, impl="cpu")
    batch, heads, queries, dim = query.shape
    keys, device = key.shape[2], query.device
    factor = 1 / math.sqrt(dim) if scale is None else scale
    band = Band.of(queries, keys, behind=window - 1, ahead=ahead)
    chunks = band.chunks(widen(query) * factor)
    key = share_heads(widen(key), heads)
    value = share_heads(widen(value), heads).to(chunks.dtype)
    near_key, near_value = band.slices(key), band.slices(value)
    scores = chunks @ near_key.mT
    visible = band.visible(mask, batch, heads, device)
    sinks = min(sinks, keys)
    if not sinks:
        return band.joined(masked_shares(scores, visible) @ near_value).to(query.dtype)
    both = [chunks @ key[:, :, None, :sinks].mT, scores]
    seen = [_sinks_visible(band, sinks, mask, batch, heads, device), visible]
    shape = (*torch.broadcast_shapes(*(x.shape[:-1] for x in seen)), -1)
    seen = torch.cat([x.expand(shape) for x in seen], -1)
    weights = masked_shares(torch.cat(both, -1), seen)
    output = weights[..., sinks:] @ near_value
    output = output + weights[..., :sinks] @ value[:, :, None, :sinks]
    return band.joined(output).to(query.dtype)


def _sinks_visible(
    band: Band, sinks: int, mask: Mask | None, batch: int, heads: int, device: torch.device
) -> Tensor:
    """Which first keys each query sees that are not already in its window."""
    query, _ = band.places(device)
    key = torch.arange(sinks, device=device)
    behind = query + band.keys - band.queries - key > band.behind
    return behind & look_up(mask, query, key, band, batch, heads)
