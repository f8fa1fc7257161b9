"""Attention gates: a coarser image decides which places of a finer one get through."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from heedful.errors import ShapeError
from heedful.nn._settings import check_sizes


class AttentionGate(nn.Module):
    """Multiply every place of an image by a weight that it and a coarser image decide.

    `y_i = w_i x_i` with `w = sigmoid(v . relu(W_x x + W_g g + b) + c)`: additive attention with a
    sigmoid, so that places do not compete. The scores are those of the coarser grid: `x` is
    averaged over its cells, and `w` interpolated linearly in between. Unlike in the paper's code
    there is no batch normalisation, no layer behind the product, and the gate starts half open and
    all alike.

    Args:
        channels: Of the image that is gated.
        gate_channels: Of the coarser image.
        hidden: Numbers between `W` and `v`. `None` means half of `channels`, 1 at least.

    Raises:
        ConfigError: A size is below 1.

    Source:
        Oktay et al. 2018, arXiv:1804.03999, section 2, equations 1 and 2.

    Cost:
        `hidden (channels + gate_channels + 1)` products for each cell of the coarser grid.
    """

    heedful_reason = (
        "AttentionGate weighs places without queries and keys; weights() returns by what"
    )

    def __init__(self, *, channels: int, gate_channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = max(1, channels // 2) if hidden is None else hidden
        check_sizes(channels=channels, gate_channels=gate_channels, hidden=hidden)
        self.channels, self.gate_channels = channels, gate_channels
        self.own = nn.Conv2d(channels, hidden, 1, bias=False)
        self.coarse = nn.Conv2d(gate_channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 1)
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        x: Float[Tensor, "batch channels height width"],
        gate: Float[Tensor, "batch gate_channels rows columns"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Let through what `gate` asks for.

        Args:
            x: The finer image.
            gate: The coarser one, of the same scene.

        Raises:
            ShapeError: An image has other axes or channels, or `gate` has more rows or columns.
        """
        return x * self.weights(x, gate)

    def weights(
        self,
        x: Float[Tensor, "batch channels height width"],
        gate: Float[Tensor, "batch gate_channels rows columns"],
    ) -> Float[Tensor, "batch 1 height width"]:
        """Return what places are multiplied by, between 0 and 1.

        Raises:
            ShapeError: An image has other axes or channels, or `gate` has more rows or columns.
        """
        self._check(x, gate)
        height, width = x.shape[2:]
        pooled = adaptive_avg_pool2d(x, (gate.shape[2], gate.shape[3]))
        scores = self.score(torch.relu(self.own(pooled) + self.coarse(gate)))
        weights = torch.sigmoid(scores).to(x.dtype)
        return interpolate(weights, size=(height, width), mode="bilinear")

    def _check(self, x: Tensor, gate: Tensor) -> None:
        given = {"x": (x, self.channels), "gate": (gate, self.gate_channels)}
        for name, (image, channels) in given.items():
            if image.ndim != 4 or image.shape[1] != channels:
                raise ShapeError(
                    f"{name} must be (batch, {channels=}, height, width), "
                    f"got a tensor of shape {tuple(image.shape)}"
                )
        if any(g > size for g, size in zip(gate.shape[2:], x.shape[2:], strict=True)):
            raise ShapeError(
                "gate must not be larger than x, "
                f"got {tuple(gate.shape[2:])} and {tuple(x.shape[2:])}"
            )
