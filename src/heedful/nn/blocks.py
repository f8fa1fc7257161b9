"""Encoder and decoder layers: attention and feed-forward with residual paths and norms."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast, get_args

from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.cache import KeyValueCache
from heedful.nn.constant import Constant

Norm = Literal["pre", "post"]


class FeedForward(nn.Module):
    """`linear(relu(linear(x)))` at every position.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.3.
    """

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.activation = nn.ReLU()
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Float[Tensor, "*rest width"]) -> Float[Tensor, "*rest width"]:
        return self.outer(self.activation(self.inner(x)))


class Residual(nn.Module):
    """Add what a sublayer makes of `x` to `x`, normalised before it or after the sum.

    Pre: `x + dropout(sublayer(norm(x)))`. Post: `norm(x + dropout(sublayer(x)))`.

    Raises:
        ConfigError: `norm` is neither `pre` nor `post`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (post).
        Xiong et al. 2020, arXiv:2002.04745, section 3 (pre).
    """

    def __init__(self, width: int, *, norm: Norm, dropout: float) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ConfigError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}")
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch length width"], sublayer: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "batch length width"]:
        if self.pre:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward; with a causal mask also a layer of a decoder alone.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.1, "Encoder".
    """

    def __init__(
        self, attention: nn.Module, *, width: int, feedforward: int, norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        # a mean of what is before takes its place in models that are compared
        self.self_attention = cast(Attention | Constant, attention)
        self.feedforward = FeedForward(width, hidden=feedforward)
        self.self_residual = Residual(width, norm=norm, dropout=dropout)
        self.feedforward_residual = Residual(width, norm=norm, dropout=dropout)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        *,
        mask: Mask | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch length width"]:
        kept = {} if cache is None else {"cache": cache}  # what stands in for attention knows none
        x = _attended(x, self.self_residual, self.self_attention, mask=mask, **kept)
        return self.feedforward_residual(x, self.feedforward)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's states, then feed-forward.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.1, "Decoder".
    """

    def __init__(
        self,
        self_attention: Attention,
        cross_attention: Attention,
        *,
        width: int,
        feedforward: int,
        norm: Norm,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_attention: Attention | Constant = self_attention
        self.cross_attention: Attention | Constant = cross_attention
        self.feedforward = FeedForward(width, hidden=feedforward)
        self.self_residual = Residual(width, norm=norm, dropout=dropout)
        self.cross_residual = Residual(width, norm=norm, dropout=dropout)
        self.feedforward_residual = Residual(width, norm=norm, dropout=dropout)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        memory: Float[Tensor, "batch keys width"],
        *,
        memory_mask: Mask | None = None,
        self_cache: KeyValueCache | None = None,
        cross_cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        own, cross = self.self_attention, self.cross_attention
        x = _attended(x, self.self_residual, own, mask=Mask.causal(), cache=self_cache)
        x = _attended(
            x, self.cross_residual, cross, context=memory, mask=memory_mask, cache=cross_cache
        )
        return self.feedforward_residual(x, self.feedforward)


def _attended(x: Tensor, residual: Residual, attention: nn.Module, **arguments: Any) -> Tensor:
    """What a residual path makes of attention; a constant reads nothing that needs a norm."""
    if residual.pre and isinstance(attention, Constant):
        return x + attention(x)
    return residual(x, partial(attention, **arguments))
