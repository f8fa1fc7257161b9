"""Attention beside a depthwise convolution of the values."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Factors, Mask
from heedful.nn._settings import check_sizes
from heedful.nn.fusion._positions import time_and_choice
from heedful.nn.mechanisms.base import Mechanism
from heedful.ops._shapes import check_qkv
from heedful.ops._softmax import share_heads, widen
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


class ConvolutionValues(Mechanism):
    """Add to what any mechanism gives a convolution of the values around the query's position.

    `mechanism(query, key, value)_i + sum_s taps_s value_(p + s - kernel // 2)`, over the keys that
    exist and that a causal mask lets the query see. The last query stands at the last key, so query
    `i` at `p = i + keys - queries`, and decoding step by step gives what one causal pass gives.
    Each query head has its own taps, the same for all components of a value; they start at 0, so
    that at first nothing changes.

    Args:
        heads: Number of query heads.
        dim: Size of one head of queries and keys.
        kernel: Number of taps. Odd, so that as many look ahead as look back.
        mechanism: What the convolution is added to. `None` means scaled dot-product attention.

    Raises:
        ConfigError: `kernel` is even or below 1, or `mechanism` was made for other heads.
        ShapeError: On use: the tensors do not fit together, or `query` has other heads.
        UnsupportedError: On use: the mask is not causal, a choice of keys, or both; it is causal
            and aligned to the start with other queries than keys; or `mechanism` cannot honour it.

    Source:
        Xiong et al. 2021, arXiv:2102.03902 (the skip connection with a depthwise convolution of the
        values; it is not causal there).

    Cost:
        `kernel` products for each number of the output, beside the mechanism; exact.
    """

    def __init__(
        self, *, heads: int, dim: int, kernel: int = 33, mechanism: Mechanism | None = None
    ) -> None:
        super().__init__(heads=heads, dim=dim)
        check_sizes(heads=heads, dim=dim, kernel=kernel)
        if kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd, got {kernel}")
        if mechanism is not None and (mechanism.heads, mechanism.dim) != (heads, dim):
            raise ConfigError(
                f"mechanism must have heads={heads} and dim={dim}, "
                f"got {mechanism.heads} and {mechanism.dim}"
            )
        self.mechanism = mechanism
        self.taps = nn.Parameter(torch.zeros(heads, kernel))

    def forward(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        value: Float[Tensor, "batch kv_heads keys value_dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Return the weighted sum of `value` and its convolution; 0 where nothing is visible."""
        parts = self._parts(query, key, mask)
        if self.mechanism is None:
            mixed = scaled_dot_attention(query, key, value, mask=mask)
        else:
            mixed = self.mechanism(query, key, value, mask=mask)
        near = _convolve(value, self.taps, parts, query.shape[2])
        return (widen(mixed) + near).to(query.dtype)

    def weights(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch kv_heads keys dim"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Return the weights that `forward` sums by: those of the mechanism, and the taps.

        A tap may be negative, and the weights of a query need not sum to one.
        """
        parts = self._parts(query, key, mask)
        if self.mechanism is None:
            mixed = scaled_dot_weights(query, key, mask=mask)
        else:
            mixed = self.mechanism.weights(query, key, mask=mask)
        near = _spread(self.taps, parts, query.shape[2], key.shape[2])
        return (widen(mixed) + near).to(query.dtype)

    def _parts(self, query: Tensor, key: Tensor, mask: Mask | None) -> Factors:
        check_qkv(query, key, same_dim=False)
        if query.shape[1] != self.heads:
            raise ShapeError(f"query must have {self.heads} heads, got {query.shape[1]}")
        size = (query.shape[0], self.heads, query.shape[2], key.shape[2])
        return time_and_choice(mask, size=size, like=query, what="the convolution")


def _convolve(
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    taps: Float[Tensor, "heads kernel"],
    parts: Factors,
    queries: int,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """The convolution at the positions of the queries, in float32 at least."""
    keys = value.shape[2]
    shared = share_heads(widen(value), len(taps))
    if parts.keys is not None:
        shared = shared.masked_fill(~parts.keys[..., None], 0.0)
    seen, before = _reach(taps, parts)
    # a negative number cuts off what no query reaches
    padding = (before - (keys - queries), seen.shape[1] - 1 - before)
    shared = pad(shared, (0, 0, *padding))
    return conv2d(shared, seen[:, None, :, None].to(shared.dtype), groups=len(taps))


def _spread(
    taps: Float[Tensor, "heads kernel"], parts: Factors, queries: int, keys: int
) -> Float[Tensor, "#batch heads queries keys"]:
    """The same convolution as a matrix: which tap each query gives each key."""
    seen, before = _reach(taps, parts)
    position = torch.arange(keys - queries, keys, device=taps.device)[:, None]
    tap = torch.arange(keys, device=taps.device) - position + before
    outside = (tap < 0) | (tap >= seen.shape[1])
    matrix = seen[:, tap.clamp(0, seen.shape[1] - 1)].masked_fill(outside, 0.0)[None]
    return matrix if parts.keys is None else matrix.masked_fill(~parts.keys[:, :, None], 0.0)


def _reach(taps: Tensor, parts: Factors) -> tuple[Tensor, int]:
    """The taps that may be used, and how many of them look back."""
    before = taps.shape[1] // 2
    return widen(taps) if parts.causal is None else widen(taps)[:, : before + 1], before
