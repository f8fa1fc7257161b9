"""A Transformer layer of two streams, each of which reads the other one."""

from functools import partial
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn._settings import check_dropout, check_sizes
from heedful.nn.blocks import FeedForward, Norm, Residual
from heedful.ops.scaled_dot import scaled_dot_attention, scaled_dot_weights


class Streams(NamedTuple):
    """Two streams, or the weights of two streams.

    Args:
        first: Of the first stream; its weights over the positions of the second one.
        second: Of the second stream; its weights over the positions of the first one.
    """

    first: Float[Tensor, "..."]
    second: Float[Tensor, "..."]


class CrossModalLayer(nn.Module):
    """Let two streams of their own widths look at each other, then feed each forward.

    Both look at what the other one was before the layer: `x' = residual(x, attend(x, y))`,
    `y' = residual(y, attend(y, x))`, then `residual(x', feedforward(x'))`, and the same for `y'`.
    In the paper the feed-forward has a GELU, here a ReLU like all others; with `norm="pre"`, which
    it does not have, keys and values are made from what the norm makes of the other stream.

    Args:
        first_width: Size of the vectors of the first stream.
        second_width: Size of the vectors of the second stream.
        heads: Number of heads of both directions.
        dim: Size of one head.
        first_feedforward: Hidden size of the first stream's feed-forward. `None`: 4 widths.
        second_feedforward: Hidden size of the second stream's feed-forward. `None`: 4 widths.
        norm: Before each sublayer, or after its sum.
        dropout: Share dropped while training, of the weights and of what each sublayer gives.

    Raises:
        ConfigError: A size is below 1, `norm` is unknown, or `dropout` is not in [0, 1).

    Source:
        Lu et al. 2019, arXiv:1908.02265, "Co-Attentional Transformer Layers".

    Cost:
        Two attentions with `firsts x seconds` scores a head.
    """

    def __init__(
        self,
        *,
        first_width: int,
        second_width: int,
        heads: int,
        dim: int,
        first_feedforward: int | None = None,
        second_feedforward: int | None = None,
        norm: Norm = "post",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(first_width=first_width, second_width=second_width, heads=heads, dim=dim)
        first_hidden = 4 * first_width if first_feedforward is None else first_feedforward
        second_hidden = 4 * second_width if second_feedforward is None else second_feedforward
        check_sizes(first_feedforward=first_hidden, second_feedforward=second_hidden)
        check_dropout(dropout)
        across = partial(CrossAttention, heads=heads, dim=dim, dropout=dropout)
        self.first_attention = across(first_width, second_width)
        self.second_attention = across(second_width, first_width)
        self.first_residual = Residual(first_width, norm=norm, dropout=dropout)
        self.second_residual = Residual(second_width, norm=norm, dropout=dropout)
        self.first_feedforward = FeedForward(first_width, hidden=first_hidden)
        self.second_feedforward = FeedForward(second_width, hidden=second_hidden)
        self.first_feedforward_residual = Residual(first_width, norm=norm, dropout=dropout)
        self.second_feedforward_residual = Residual(second_width, norm=norm, dropout=dropout)

    def forward(
        self,
        first: Float[Tensor, "batch firsts first_width"],
        second: Float[Tensor, "batch seconds second_width"],
        *,
        first_mask: Mask | None = None,
        second_mask: Mask | None = None,
    ) -> Streams:
        """Return both streams after the layer.

        Args:
            first: One stream.
            second: The other one.
            first_mask: Which positions of the first stream the second one sees.
            second_mask: Which positions of the second stream the first one sees.
        """
        of_first, of_second = self._seen(first, second)
        look = partial(self.first_attention, context=of_second, mask=second_mask)
        back = partial(self.second_attention, context=of_first, mask=first_mask)
        first, second = self.first_residual(first, look), self.second_residual(second, back)
        return Streams(
            self.first_feedforward_residual(first, self.first_feedforward),
            self.second_feedforward_residual(second, self.second_feedforward),
        )

    def weights(
        self,
        first: Float[Tensor, "batch firsts first_width"],
        second: Float[Tensor, "batch seconds second_width"],
        *,
        first_mask: Mask | None = None,
        second_mask: Mask | None = None,
    ) -> Streams:
        """Return the weights that `forward` uses for the same arguments, without dropout."""
        first, second = self._seen(first, second)
        return Streams(
            self.first_attention.weights(first, second, mask=second_mask),
            self.second_attention.weights(second, first, mask=first_mask),
        )

    def _seen(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """What the attention of the other stream reads."""
        if self.first_residual.pre:
            return self.first_residual.norm(first), self.second_residual.norm(second)
        return first, second


class CrossAttention(nn.Module):
    """`heedful.nn.Attention` to a context of another width."""

    def __init__(
        self, width: int, context_width: int, *, heads: int, dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, heads * dim)
        self.key = nn.Linear(context_width, heads * dim)
        self.value = nn.Linear(context_width, heads * dim)
        self.out = nn.Linear(heads * dim, width)
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys context_width"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        query, key = self._split(self.query(x)), self._split(self.key(context))
        mixed = self.mix(query, key, self._split(self.value(context)), mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def mix(
        self,
        query: Float[Tensor, "batch heads queries dim"],
        key: Float[Tensor, "batch heads keys dim"],
        value: Float[Tensor, "batch heads keys dim"],
        mask: Mask | None,
    ) -> Float[Tensor, "batch heads queries dim"]:
        """Mix what is projected already; `forward` does all of it here, where `probe` listens."""
        dropout = self.dropout if self.training else 0.0
        return scaled_dot_attention(query, key, value, mask=mask, dropout=dropout)

    def weights(
        self,
        x: Float[Tensor, "batch queries width"],
        context: Float[Tensor, "batch keys context_width"],
        *,
        mask: Mask | None = None,
    ) -> Float[Tensor, "batch heads queries keys"]:
        query, key = self._split(self.query(x)), self._split(self.key(context))
        return scaled_dot_weights(query, key, mask=mask)

    def _split(self, x: Tensor) -> Float[Tensor, "batch heads length dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
