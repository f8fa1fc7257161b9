"""Convolutional block attention: weigh the channels, then the pixels."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn.vision._image import (
    check_channels,
    check_image,
    hide,
    hide_rows,
    max_over_pixels,
    mean_over_pixels,
)


class CbamWeights(NamedTuple):
    """What `Cbam` multiplies by, between 0 and 1."""

    channels: Float[Tensor, "batch channels"]
    pixels: Float[Tensor, "batch height width"]


class Cbam(nn.Module):
    """Multiply every channel, then every pixel, by a weight of its own.

    `z_c = s_c x_c` with `s = sigmoid(f(mean(x)) + f(max(x)))` over the pixels and
    `f(a) = W_2 relu(W_1 a)`; then `y = t z` with `t = sigmoid(convolve([mean(z); max(z)]))` over
    the channels. As in the paper nothing is added to the product, and no batch normalisation
    follows the convolution; it has a bias. A pixel that `mask` hides counts nowhere, as if the
    image ended there, and gives 0.

    Args:
        channels: Of the image.
        reduction: How many times fewer numbers stand between `W_1` and `W_2`; divides `channels`.
        kernel: Height and width of the convolution; odd.
        bias: Add a bias after `W_1` and `W_2`? The paper's formula has none.

    Raises:
        ConfigError: `channels` or `reduction` is below 1, `reduction` does not divide, or `kernel`
            is not odd.

    Source:
        Woo et al. 2018, arXiv:1807.06521, section 3, equations 1 to 3.

    Cost:
        `2 channels^2 / reduction + 2 kernel^2 + 1` parameters; stores a second image.
    """

    heedful_reason = (
        "Cbam weighs channels and pixels without queries and keys; weights() returns by what"
    )

    def __init__(
        self, *, channels: int, reduction: int = 16, kernel: int = 7, bias: bool = False
    ) -> None:
        super().__init__()
        check_channels(channels, reduction=reduction)
        if kernel < 1 or kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd and at least 1, got {kernel}")
        self.channels, self.reduction, self.kernel = channels, reduction, kernel
        self.reduce = nn.Linear(channels, channels // reduction, bias=bias)
        self.expand = nn.Linear(channels // reduction, channels, bias=bias)
        self.convolve = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Weigh the channels, then the pixels.

        Args:
            x: The image.
            mask: True = the pixel exists. `None` means: all do.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        weighed = hide(x, mask) * self._weigh_channels(x, mask)[:, :, None, None]
        return weighed * self._weigh_pixels(weighed, mask)[:, None]

    def weights(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> CbamWeights:
        """Return what channels and pixels are multiplied by; 0 where nothing exists.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        channels = self._weigh_channels(x, mask)
        weighed = hide(x, mask) * channels[:, :, None, None]
        return CbamWeights(channels, self._weigh_pixels(weighed, mask))

    def _weigh_channels(self, x: Tensor, mask: Tensor | None) -> Tensor:
        mean, largest = mean_over_pixels(x, mask), max_over_pixels(x, mask)
        scores = self._squeeze(mean) + self._squeeze(largest)
        return hide_rows(torch.sigmoid(scores), mask).to(x.dtype)

    def _squeeze(self, pooled: Tensor) -> Tensor:
        return self.expand(torch.relu(self.reduce(pooled)))

    def _weigh_pixels(self, weighed: Tensor, mask: Tensor | None) -> Tensor:
        mean, largest = weighed.mean(1, keepdim=True), weighed.amax(1, keepdim=True)
        scores = self.convolve(torch.cat([mean, largest], 1))
        return hide(torch.sigmoid(scores), mask)[:, 0].to(weighed.dtype)
