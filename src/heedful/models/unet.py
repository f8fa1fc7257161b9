"""A U-Net: a label for every pixel of an image, with gates and with self-attention, or without."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from heedful.errors import ConfigError
from heedful.nn.attention import Attention
from heedful.nn.attention_gate import AttentionGate
from heedful.nn.blocks import EncoderLayer

GROUPS = 4  # of channels that are normalised together


class UNet(nn.Module):
    """Halve an image several times, then double it again beside what it was at every size.

    What stood at a size goes through an attention gate, which the coarser image steers. Behind the
    last halving every place looks at all others. Images whose sides the halvings do not divide are
    continued at their border, and what is made of that is cut off again. Unlike in the paper
    convolutions keep the size, group normalisation stands before each rectifier, and images are
    doubled by interpolation.

    Args:
        channels: Of the images.
        classes: Labels of a pixel.
        width: Channels at full size; twice as many after every halving.
        halvings: How often the image is halved.
        gates: Are there attention gates?
        attention_layers: Self-attention layers at the smallest size; 0 means none.
        heads: Of those; divide the channels there.

    Raises:
        ConfigError: A size is below 1, `width` is no multiple of 4, or heads do not divide.

    Source:
        Ronneberger et al. 2015, arXiv:1505.04597, section 2 (U-Net).
        Oktay et al. 2018, arXiv:1804.03999, section 2 (gates).
        Wu and He 2018, arXiv:1803.08494, section 3 (group normalisation).
    """

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        width: int = 16,
        halvings: int = 3,
        gates: bool = True,
        attention_layers: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        for name, size in {"channels": channels, "classes": classes, "halvings": halvings}.items():
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        if width < 1 or width % GROUPS:
            raise ConfigError(f"width must be a multiple of {GROUPS}, got {width}")
        widths = [width * 2**step for step in range(halvings + 1)]
        self.first = _convolutions(channels, width)
        self.down = nn.ModuleList(_convolutions(*pair) for pair in pairwise(widths))
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(width=widths[-1], heads=heads),
                width=widths[-1],
                feedforward=2 * widths[-1],
                norm="pre",
                dropout=0.0,
            )
            for _ in range(attention_layers)
        )
        upwards = [*pairwise(reversed(widths))]
        self.gates = nn.ModuleList(
            AttentionGate(channels=fine, gate_channels=coarse) for coarse, fine in upwards if gates
        )
        self.up = nn.ModuleList(_convolutions(coarse + fine, fine) for coarse, fine in upwards)
        self.last = nn.Conv2d(width, classes, 1)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Return logits of the labels of every pixel."""
        height, width = images.shape[2:]
        whole = 2 ** len(self.down)
        beyond = (0, -width % whole, 0, -height % whole)
        x = self.first(pad(images, beyond, mode="replicate") if any(beyond) else images)
        skipped = [x]
        for step in self.down:
            x = step(max_pool2d(x, 2))
            skipped.append(x)
        x = self._look(skipped.pop())
        for number, step in enumerate(self.up):
            finer = skipped.pop()
            kept = self.gates[number](finer, x) if self.gates else finer
            doubled = interpolate(x, size=finer.shape[2:], mode="nearest")
            x = step(cat([kept, doubled], 1))
        return self.last(x)[:, :, :height, :width]

    def _look(
        self, x: Float[Tensor, "batch width rows columns"]
    ) -> Float[Tensor, "batch width rows columns"]:
        columns = x.shape[3]
        places = x.flatten(2).mT
        for layer in self.layers:
            places = layer(places)
        return places.mT.unflatten(2, (-1, columns)) if self.layers else x


def _convolutions(channels: int, width: int) -> nn.Sequential:
    """Two convolutions, each normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.GroupNorm(GROUPS, width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.GroupNorm(GROUPS, width),
        nn.ReLU(),
    )
