"""Forecasts of series: a Transformer over patches, and the linear layer that it must beat."""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.blocks import EncoderLayer
from heedful.nn.constant import Constant
from heedful.nn.positions import LearnedPositions

Looks = Literal["full", "window", "none"]
TINY = 1e-5  # beside the variance of a window, which may be 0


class PatchEncoder(nn.Module):
    """Encoder layers over patches, whose attention sees all, the nearest, or nothing.

    Args:
        width: Size of the vectors.
        heads: Of every attention.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of what sublayers add.
        attention: `full`, `window` or `none`.
        window: Patches that are seen on either side.

    Raises:
        ConfigError: `attention` is unknown, or `heads` does not divide `width`.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        layers: int,
        feedforward: int,
        dropout: float = 0.0,
        attention: Looks = "full",
        window: int = 1,
    ) -> None:
        super().__init__()
        if attention not in get_args(Looks):
            raise ConfigError(
                f"attention must be one of {', '.join(get_args(Looks))}, got {attention!r}"
            )
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(width=width, heads=heads),
                width=width,
                feedforward=feedforward,
                norm="pre",
                dropout=dropout,
            )
            for _ in range(layers)
        )
        if attention == "none":
            for layer in self.layers:
                layer.self_attention = Constant(width)
        self.mask = Mask.window(window + 1, ahead=window) if attention == "window" else None
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch length width"]
    ) -> Float[Tensor, "batch length width"]:
        for layer in self.layers:
            x = layer(x, mask=self.mask)
        return self.norm(x)


class PatchForecaster(nn.Module):
    """Forecast each column alone, from patches of its history.

    A window is normalised by its own mean and deviation, cut into patches, encoded; one linear
    layer reads all patches at once, and what it says is scaled back. All columns share the weights.
    Unlike in the papers, norms are those of layers, before each sublayer, nothing is learned about
    columns, and a linear layer reads the window too, so that patches learn what is left.

    Args:
        encoder: Of patches.
        history: Rows that are read.
        horizon: Rows that are forecast.
        patch: Rows of a patch.
        stride: Rows from one patch to the next.
        width: Size of the vectors.
        normalise: By mean and deviation of the window?
        dropout: Share dropped of embedded patches.

    Raises:
        ConfigError: A patch is longer than the history, or `stride` is not in 1 to `patch`.

    Source:
        Nie et al. 2022, arXiv:2211.14730, section 3.1 (patches, columns that share weights).
        Kim et al. 2022, ICLR, "Reversible Instance Normalization", section 2.

    Cost:
        `(history / stride)^2` scores a head for each column.
    """

    def __init__(
        self,
        encoder: PatchEncoder,
        *,
        history: int,
        horizon: int,
        patch: int,
        stride: int,
        width: int,
        normalise: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 1 <= patch <= history:
            raise ConfigError(f"patch must be 1 to history, got {patch=}, {history=}")
        if not 1 <= stride <= patch:
            raise ConfigError(f"stride must be 1 to patch, got {stride=}, {patch=}")
        self.patch, self.stride, self.normalise = patch, stride, normalise
        self.padding = -(history - patch) % stride  # the last value again, to fill a patch
        self.patches = (history + self.padding - patch) // stride + 1
        self.embed = nn.Linear(patch, width)
        self.positions = LearnedPositions(width, max_length=self.patches)
        self.encoder, self.dropout = encoder, nn.Dropout(dropout)
        self.out = nn.Linear(self.patches * width, horizon)
        self.direct = nn.Linear(history, horizon, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(
        self, history: Float[Tensor, "batch history columns"]
    ) -> Float[Tensor, "batch horizon columns"]:
        """Forecast the rows behind a window."""
        x = history.transpose(1, 2)
        centre, scale = self._statistics(x)
        x = ((x - centre) / scale).flatten(0, 1)
        patches = pad(x, (0, self.padding), "replicate").unfold(1, self.patch, self.stride)
        states = self.encoder(self.dropout(self.positions(self.embed(patches))))
        said = self.out(states.flatten(1)) + self.direct(x)
        said = said.unflatten(0, history.shape[::2])
        return (said * scale + centre).transpose(1, 2)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self.normalise:
            return x.new_zeros(()), x.new_ones(())
        variance, centre = torch.var_mean(x.detach(), -1, correction=0, keepdim=True)
        return centre, (variance + TINY).sqrt()


class LinearForecaster(nn.Module):
    """Forecast by one linear layer what is added to the last value; all columns share it.

    Args:
        history: Rows that are read.
        horizon: Rows that are forecast.

    Source:
        Zeng et al. 2022, arXiv:2205.13504, section 4, "NLinear".
    """

    def __init__(self, *, history: int, horizon: int) -> None:
        super().__init__()
        self.linear = nn.Linear(history, horizon)
        nn.init.zeros_(self.linear.weight)  # at first, the last value again
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, history: Float[Tensor, "batch history columns"]
    ) -> Float[Tensor, "batch horizon columns"]:
        """Forecast the rows behind a window."""
        last = history[:, -1:]
        return last + self.linear((history - last).mT).mT


def build_forecaster(
    name: str, *, history: int, horizon: int, **settings: Any
) -> PatchForecaster | LinearForecaster:
    """Make a network from plain settings.

    Args:
        name: `patches` or `linear`.
        history: Rows that are read.
        horizon: Rows that are forecast.
        settings: Of the encoder and of the patches.

    Raises:
        ConfigError: `name` is unknown, or settings do not fit each other.
    """
    if name == "linear":
        return LinearForecaster(history=history, horizon=horizon)
    if name != "patches":
        raise ConfigError(f"name must be one of patches, linear, got {name!r}")
    own = {key: settings.pop(key) for key in ("patch", "stride", "normalise")}
    width, dropout = settings["width"], settings["dropout"]
    encoder = PatchEncoder(**settings)
    sizes = {"history": history, "horizon": horizon, "width": width}
    return PatchForecaster(encoder, **sizes, **own, dropout=dropout)
