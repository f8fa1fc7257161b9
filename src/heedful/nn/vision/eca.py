"""Efficient channel attention: weigh a channel by the means of its neighbours."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn.vision._image import (
    check_channels,
    check_image,
    hide,
    hide_rows,
    mean_over_pixels,
)


class Eca(nn.Module):
    """Multiply every channel by a weight that depends on the means of a few channels around it.

    `y_c = s_c x_c` with `s = sigmoid(convolve(mean(x)))`, a convolution along the channels, with 0
    beyond the first and the last. Its kernel grows with the channels: it is the odd number nearest
    to `|log2(channels) + beta| / gamma`, the larger of two; below 8 channels that is 1, where timm
    takes 3. The order of the channels matters. A pixel that `mask` hides does not count in the mean
    and gives 0.

    Args:
        channels: Of the image.
        kernel: Channels that one weight looks at; odd. `None` means: by the rule above.
        gamma: Of the rule: how slowly the kernel grows.
        beta: Of the rule, `b` in the paper.

    Raises:
        ConfigError: `channels` is below 1, `kernel` is not odd, or `gamma` is not above 0.

    Source:
        Wang et al. 2019, arXiv:1910.03151, section 3.2.

    Cost:
        `kernel` parameters; reads the image twice and stores one number a channel.
    """

    heedful_reason = "Eca weighs channels, and looks at no position; weights() returns by what"

    def __init__(
        self,
        *,
        channels: int,
        kernel: int | None = None,
        gamma: float = 2.0,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        check_channels(channels)
        if kernel is None:
            kernel = kernel_for(channels, gamma=gamma, beta=beta)
        if kernel < 1 or kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd and at least 1, got {kernel}")
        self.channels, self.kernel = channels, kernel
        self.convolve = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Weigh the channels.

        Args:
            x: The image.
            mask: True = the pixel exists. `None` means: all do.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        weights = self.weights(x, mask=mask)
        return hide(x, mask) * weights[:, :, None, None]

    def weights(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels"]:
        """Return what the channels are multiplied by, between 0 and 1; 0 for an empty image.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        scores = self.convolve(mean_over_pixels(x, mask)[:, None])[:, 0]
        return hide_rows(torch.sigmoid(scores), mask).to(x.dtype)


def kernel_for(channels: int, *, gamma: float = 2.0, beta: float = 1.0) -> int:
    """Return the odd number nearest to `|log2(channels) + beta| / gamma`, the larger of two.

    Args:
        channels: Of the image, at least 1.
        gamma: How slowly the kernel grows.
        beta: `b` in the paper.

    Raises:
        ConfigError: `gamma` is not above 0.

    Source:
        Wang et al. 2019, arXiv:1910.03151, section 3.2.
    """
    if gamma <= 0:
        raise ConfigError(f"gamma must be above 0, got {gamma}")
    return 2 * math.floor(abs(math.log2(channels) + beta) / gamma / 2) + 1
