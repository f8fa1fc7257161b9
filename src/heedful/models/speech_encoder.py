"""From log-mel features to states: convolutions that shorten, then self-attention or none."""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import EncoderLayer, FeedForward, Residual
from heedful.nn.positions import RotaryPositions

KERNEL = 3  # frames that a convolution sees at once


class Shorten(nn.Module):
    """Two convolutions over time and bands, each `relu(norm(convolution(x)))`, then one vector.

    The bands are halved twice, the frames so often that `stride` of them become one state.

    Args:
        bands: Of the features.
        channels: Of both convolutions.
        width: Of a state.
        stride: Frames that become one state: 1, 2 or 4.

    Raises:
        ConfigError: `stride` is something else.

    Source:
        Gulati et al. 2020, arXiv:2005.08100, section 2 (a convolutional subsampling layer before
        the encoder).
    """

    def __init__(self, *, bands: int, channels: int, width: int, stride: int) -> None:
        super().__init__()
        if stride not in (1, 2, 4):
            raise ConfigError(f"stride must be 1, 2 or 4, got {stride}")
        steps = (1 if stride < 4 else 2, 1 if stride < 2 else 2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(size, channels, KERNEL, stride=(step, 2), padding=1, bias=False)
            for size, step in zip((1, channels), steps, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in steps)
        self.steps = steps
        self.out = nn.Linear(channels * _halved(_halved(bands)), width)

    def forward(
        self, features: Float[Tensor, "batch frames bands"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch states width"], Int[Tensor, " batch"]]:
        """Return the states of each sound, and how many there are; beyond them is anything."""
        x = features[:, None]
        for step, convolution, norm in zip(self.steps, self.convolutions, self.norms, strict=True):
            lengths = (lengths + step - 1) // step
            x = norm(convolution(x)).relu()
            x = x * _inside(x.shape[2], lengths)[:, None, :, None]
        return self.out(x.transpose(1, 2).flatten(2)), lengths


class ConvolutionLayer(nn.Module):
    """What stands in for self-attention: a convolution over three states, then feed-forward.

    It costs a little less than an `EncoderLayer` of the same width, and sees three states instead
    of all.

    Args:
        width: Of a state.
        feedforward: Hidden size of the feed-forward part.
        dropout: Share dropped of what both add.
    """

    def __init__(self, *, width: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2)
        self.feedforward = FeedForward(width, hidden=feedforward)
        self.own_residual = Residual(width, norm="pre", dropout=dropout)
        self.feedforward_residual = Residual(width, norm="pre", dropout=dropout)

    def forward(
        self, x: Float[Tensor, "batch states width"], inside: Float[Tensor, "batch states"]
    ) -> Float[Tensor, "batch states width"]:
        """Mix neighbours; `inside` is 0 beyond the end of a sound."""
        return self.feedforward_residual(
            self.own_residual(x, partial(self._mix, inside=inside)), self.feedforward
        )

    def _mix(self, x: Tensor, inside: Tensor) -> Tensor:
        seen = (x * inside[..., None]).transpose(1, 2)
        return self.convolution(seen).transpose(1, 2).relu()


class SpeechEncoder(nn.Module):
    """Read log-mel features: convolutions, then layers of self-attention with rotary positions.

    Args:
        bands: Of the features.
        channels: Of the convolutions.
        width: Of a state.
        layers: After the convolutions; with 0 there are the convolutions alone.
        heads: Of every attention.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of states and of what layers add.
        stride: Frames that become one state: 1, 2 or 4.
        attention: Self-attention in the layers? Else convolutions over three states.

    Raises:
        ConfigError: `heads` does not divide `width` into even parts, or `stride` is unknown.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.1, "Encoder".
        Dong et al. 2018, "Speech-Transformer", ICASSP, section 3 (convolutions before it).
    """

    def __init__(
        self,
        *,
        bands: int,
        channels: int = 32,
        width: int = 96,
        layers: int = 2,
        heads: int = 4,
        feedforward: int = 192,
        dropout: float = 0.1,
        stride: int = 4,
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.shorten = Shorten(bands=bands, channels=channels, width=width, stride=stride)
        self.dropout = nn.Dropout(dropout)
        dim = head_dim(width=width, heads=heads)
        sizes = {"width": width, "feedforward": feedforward}
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(width=width, heads=heads, positions=RotaryPositions(dim)),
                **sizes,
                norm="pre",
                dropout=dropout,
            )
            if attention
            else ConvolutionLayer(**sizes, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, features: Float[Tensor, "batch frames bands"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch states width"], Int[Tensor, " batch"]]:
        """Return the states of each sound, and how many of them are not padding.

        Args:
            features: Padded with zeros.
            lengths: Frames of each sound.
        """
        x, lengths = self.shorten(features, lengths)
        x, mask, inside = self.dropout(x), Mask.lengths(lengths), _inside(x.shape[1], lengths)
        for layer in self.layers:
            known = isinstance(layer, ConvolutionLayer)
            x = layer(x, inside.to(x.dtype)) if known else layer(x, mask=mask)
        return self.norm(x), lengths


def _halved(size: int) -> int:
    return (size + 1) // 2


def _inside(states: int, lengths: Tensor) -> Tensor:
    return torch.arange(states, device=lengths.device) < lengths[:, None]
