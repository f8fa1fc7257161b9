"""The self-attention of SAGAN: every pixel receives a weighted sum of all, faded in by a scalar."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.nn.vision._image import (
    check_channels,
    mix_pixels,
    to_image,
    to_pixels,
    weigh_pixels,
)
from heedful.nn.vision._residual import PixelAttention


class Sagan(PixelAttention):
    """Add to every pixel a weighted sum of all pixels, times `gamma`, which starts as 0.

    `y_i = x_i + gamma out(sum_j w_ij value(x_j))` with `w_i = softmax_j(query(x_i) . key(x_j))`,
    the dot products not scaled; `query`, `key`, `value` and `out` are the paper's `g`, `f`, `h` and
    `v`. As in the authors' code `value` keeps half of the channels, in the paper's text an eighth;
    unlike in that code no max pooling thins out keys and values. Spectral normalisation is the
    caller's: `torch.nn.utils.parametrizations.spectral_norm` on the four maps. A pixel that `mask`
    hides is no key and gives 0.

    Args:
        channels: Of the image.
        reduction: How many times fewer numbers a query and a key have; divides `channels`.
        value_reduction: How many times fewer numbers a value has; divides `channels`.

    Raises:
        ConfigError: A number is below 1, or does not divide `channels`.

    Source:
        Zhang et al. 2018, arXiv:1805.08318, section 3, equations 1 to 3.

    Cost:
        `(height width)^2` pairs; fused kernels store no scores. Exact.
    """

    def __init__(self, *, channels: int, reduction: int = 8, value_reduction: int = 2) -> None:
        super().__init__(channels=channels)
        check_channels(channels, reduction=reduction, value_reduction=value_reduction)
        self.reduction, self.value_reduction = reduction, value_reduction
        value_dim = channels // value_reduction
        self.query = nn.Linear(channels, channels // reduction, bias=False)
        self.key = nn.Linear(channels, channels // reduction, bias=False)
        self.value = nn.Linear(channels, value_dim, bias=False)
        self.out = nn.Linear(value_dim, channels, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def _added(self, x: Tensor, mask: Tensor | None) -> Tensor:
        pixels = to_pixels(x)
        mixed = self.mix(self.query(pixels), self.key(pixels), self.value(pixels), mask)
        return self.gamma * to_image(self.out(mixed), width=x.shape[3])

    def mix(
        self,
        query: Float[Tensor, "batch queries dim"],
        key: Float[Tensor, "batch keys dim"],
        value: Float[Tensor, "batch keys value_dim"],
        mask: Bool[Tensor, "batch height width"] | None,
    ) -> Float[Tensor, "batch queries value_dim"]:
        """Mix what is projected already; `forward` does all of it here, where `probe` listens.

        `mask` says which keys exist.
        """
        return mix_pixels(query, key, value, mask)

    def _weigh(self, x: Tensor, mask: Tensor | None) -> Tensor:
        pixels = to_pixels(x)
        return weigh_pixels(self.query(pixels), self.key(pixels), mask)
