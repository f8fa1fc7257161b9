"""The Conformer block: attention for what is far, a convolution for what is near."""

from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import glu, pad, silu

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn._settings import check_dropout, check_sizes
from heedful.nn.attention import Attention
from heedful.nn.blocks import Residual
from heedful.nn.fusion._positions import existing


class ConformerBlock(nn.Module):
    """Half a feed-forward, self-attention, a convolution, half a feed-forward, and a norm.

    `a = x + feedforward(x) / 2`, `b = a + attention(a)`, `c = b + convolution(b)`,
    `norm(c + feedforward(c) / 2)`, every sublayer with a norm before it. The convolution's inner
    norm is a LayerNorm: the paper's BatchNorm would let rows of a batch meet, and padding count.
    The paper's attention has the relative positions of Transformer-XL; here it is the one given.

    Args:
        attention: Made for the same width, with its positions, e.g. `RotaryPositions` or
            `RelativePositions`.
        width: Size of the vectors.
        feedforward: Hidden size of the feed-forwards. `None` means 4 widths, as in the paper.
        kernel: Positions that the convolution spans; odd unless it is causal. In the paper 32, of
            which no position is the middle.
        causal: Does the convolution look back only? Only then may a mask be causal.
        dropout: Share dropped while training of what each sublayer gives, and inside of
            the feed-forwards. That of the weights is the attention's.

    Raises:
        ConfigError: A size is below 1, `kernel` is even without `causal`, `attention` has another
            width, or `dropout` is not in [0, 1).
        UnsupportedError: On use: the mask is neither causal nor a choice of keys nor both, differs
            between heads, or is causal while the convolution is not.

    Source:
        Gulati et al. 2020, arXiv:2005.08100, section 2.

    Cost:
        That of the attention, of two feed-forwards, and `kernel` products for each number.
    """

    def __init__(
        self,
        *,
        attention: Attention,
        width: int,
        feedforward: int | None = None,
        kernel: int = 31,
        causal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = 4 * width if feedforward is None else feedforward
        check_sizes(width=width, feedforward=hidden, kernel=kernel)
        check_dropout(dropout)
        if kernel % 2 == 0 and not causal:
            raise ConfigError(f"kernel must be odd unless causal, got {kernel}")
        if attention.query.in_features != width:
            raise ConfigError(
                f"attention must have width {width}, got {attention.query.in_features}"
            )
        self.causal = causal
        self.first_half = _half_step(width, hidden, dropout)
        self.attention = attention
        self.attention_residual = Residual(width, norm="pre", dropout=dropout)
        self.convolution = _Convolution(width, kernel=kernel, causal=causal)
        self.convolution_residual = Residual(width, norm="pre", dropout=dropout)
        self.second_half = _half_step(width, hidden, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, "batch length width"]:
        """Mix positions.

        Args:
            x: What looks, and what is looked at.
            mask: Who may see whom; the convolution passes over the keys that it hides.
        """
        there = self._existing(x, mask)
        x = x + 0.5 * self.first_half(x)
        x = self.attention_residual(x, partial(self.attention, mask=mask))
        x = self.convolution_residual(x, partial(self.convolution, there=there))
        return self.norm(x + 0.5 * self.second_half(x))

    def weights(
        self, x: Float[Tensor, "batch length width"], *, mask: Mask | None = None
    ) -> Float[Tensor, "batch heads length length"]:
        """Return the weights of the attention that `forward` uses, without dropout.

        Dropout before the attention, inside of the first feed-forward, still acts in training.
        """
        self._existing(x, mask)
        x = x + 0.5 * self.first_half(x)
        return self.attention.weights(self.attention_residual.norm(x), mask=mask)

    def _existing(self, x: Tensor, mask: Mask | None) -> Bool[Tensor, "#batch length"] | None:
        """Which positions may reach others through the convolution."""
        return existing(
            mask,
            new=x,
            length=x.shape[1],
            heads=self.attention.heads,
            causal=self.causal,
            what="the convolution",
        )


def _half_step(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, width),
        nn.Dropout(dropout),
    )


class _Convolution(nn.Module):
    """`out(silu(norm(depthwise(glu(inner(x))))))`."""

    def __init__(self, width: int, *, kernel: int, causal: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        back = kernel - 1 if causal else kernel // 2
        self.padding = (back, kernel - 1 - back)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        *,
        there: Bool[Tensor, "#batch length"] | None = None,
    ) -> Float[Tensor, "batch length width"]:
        x = glu(self.inner(x), -1)
        if there is not None:
            x = x.masked_fill(~there[:, :, None], 0.0)
        mixed = self.depthwise(pad(x.mT, self.padding)).mT
        return self.out(silu(self.norm(mixed)))
