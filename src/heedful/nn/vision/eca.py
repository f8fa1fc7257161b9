"""Efficient channel attention: weigh a channel by the means of its neighbours."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.nn.vision._image import check_channels
from heedful.nn.vision._residual import ChannelAttention


class Eca(ChannelAttention):
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
        super().__init__(channels=channels)
        check_channels(channels)
        if kernel is None:
            kernel = kernel_for(channels, gamma=gamma, beta=beta)
        if kernel < 1 or kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd and at least 1, got {kernel}")
        self.kernel = kernel
        self.convolve = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def _scores(self, means: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
        return self.convolve(means[:, None])[:, 0]


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
