"""Squeeze-and-excitation: weigh the channels by what they are on average."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.nn.vision._image import check_channels
from heedful.nn.vision._residual import ChannelAttention


class SqueezeExcitation(ChannelAttention):
    """Multiply every channel by a weight that depends on the means of all channels.

    `y_c = s_c x_c` with `s = sigmoid(W_2 relu(W_1 mean(x)))`. A pixel that `mask` hides does not
    count in the mean and gives 0.

    Args:
        channels: Of the image.
        reduction: How many times fewer numbers stand between `W_1` and `W_2`; divides `channels`.
        bias: Add a bias after `W_1` and `W_2`? The paper's formula has none; many released weights
            do.

    Raises:
        ConfigError: `channels` or `reduction` is below 1, or `reduction` does not divide.

    Source:
        Hu et al. 2017, arXiv:1709.01507, section 3, equations 2 to 4.

    Cost:
        `2 channels^2 / reduction` parameters; reads the image twice and stores one number for each
        channel.
    """

    heedful_reason = (
        "SqueezeExcitation weighs channels, and looks at no position; weights() returns by what"
    )

    def __init__(self, *, channels: int, reduction: int = 16, bias: bool = False) -> None:
        super().__init__(channels=channels)
        check_channels(channels, reduction=reduction)
        self.reduction = reduction
        self.reduce = nn.Linear(channels, channels // reduction, bias=bias)
        self.expand = nn.Linear(channels // reduction, channels, bias=bias)

    def _scores(self, means: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
        return self.expand(torch.relu(self.reduce(means)))
