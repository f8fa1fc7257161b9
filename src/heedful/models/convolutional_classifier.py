"""What an image shows: residual convolutions with attention over channels, over pixels, or none."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError
from heedful.nn.attention import Attention
from heedful.nn.blocks import Residual
from heedful.nn.constant import Constant
from heedful.nn.positions import LearnedPositions
from heedful.nn.vision import Cbam, SqueezeExcitation

Kind = Literal["none", "se", "cbam", "self-attention"]
WEIGHING: dict[str, Callable[..., nn.Module]] = {"se": SqueezeExcitation, "cbam": Cbam}


class CellAttention(nn.Module):
    """Let every cell of an image look at all: `x + attention(norm(x) + positions)`.

    Args:
        channels: Of the image.
        heads: Of the attention; divides `channels`.
        cells: Rows times columns.

    Raises:
        ConfigError: `heads` does not divide `channels`.

    Source:
        Srinivas et al. 2021, arXiv:2101.11605, section 3 (self-attention in the last stage alone).
        Here it stands behind the last convolution and not in its place, and positions are learned.

    Cost:
        `cells^2` scores a head.
    """

    def __init__(self, *, channels: int, heads: int, cells: int) -> None:
        super().__init__()
        self.positions = LearnedPositions(channels, max_length=cells)
        self.attention: Attention | Constant = Attention(width=channels, heads=heads)
        self.residual = Residual(channels, norm="pre", dropout=0.0)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Let every cell look at all."""
        mixed = self.residual(x.flatten(2).mT, self._attend)
        return mixed.mT.unflatten(2, x.shape[2:])

    def _attend(self, x: Tensor) -> Tensor:
        return self.attention(self.positions(x))


class ResidualBlock(nn.Module):
    """`relu(skip(x) + weigh(norm(convolve(relu(norm(convolve(x)))))))`.

    Args:
        channels: Of what comes in.
        outputs: Channels of what goes out.
        stride: 2 halves height and width.
        weigh: Attention over channels or pixels; `None` means none.

    Source:
        He et al. 2015, arXiv:1512.03385, section 3.2; Hu et al. 2017, arXiv:1709.01507, figure 3
        (where the weights stand).
    """

    def __init__(
        self, channels: int, outputs: int, *, stride: int, weigh: nn.Module | None
    ) -> None:
        super().__init__()
        self.first = _convolution(channels, outputs, kernel=3, stride=stride)
        self.second = _convolution(outputs, outputs, kernel=3, stride=1)
        self.weigh = weigh
        same = channels == outputs and stride == 1
        self.stride = stride
        self.skip = None if same else _convolution(channels, outputs, kernel=1, stride=1)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        added = self.second(torch.relu(self.first(x)))
        if self.weigh is not None:
            added = self.weigh(added)
        if self.skip is None:
            return torch.relu(added + x)
        # cells are left out first: torch 2.13's strided 1 x 1 convolution of fewer than 8 channels
        # writes past its memory in the backward pass, on CPUs with AVX2 and no more
        return torch.relu(added + self.skip(x[..., :: self.stride, :: self.stride]))


class ConvolutionalClassifier(nn.Module):
    """Logits of classes: stages of residual blocks, each of half the size and twice the channels.

    Args:
        classes: Number of classes.
        channels: Of the images.
        size: Height and width of the images.
        width: Channels of the first stage.
        stages: How many; between two of them height and width are halved.
        blocks: Of each stage.
        attention: `se` and `cbam` weigh what each block adds; `self-attention` stands once, behind
            the last block.
        reduction: How many times fewer numbers channels are squeezed to by `se` and `cbam`.
        heads: Of the self-attention.
        dropout: Share dropped of the means that are classified.

    Raises:
        ConfigError: `attention` is unknown, a number is below 1, or `reduction` or `heads` does not
            divide the channels.

    Source:
        He et al. 2015, arXiv:1512.03385; Hu et al. 2017, arXiv:1709.01507; Woo et al. 2018,
        arXiv:1807.06521; Srinivas et al. 2021, arXiv:2101.11605.
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        size: int,
        width: int,
        stages: int,
        blocks: int = 1,
        attention: Kind = "none",
        reduction: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if attention not in get_args(Kind):
            known = ", ".join(get_args(Kind))
            raise ConfigError(f"attention must be one of {known}, got {attention!r}")
        sizes = {"classes": classes, "channels": channels, "size": size, "width": width}
        sizes |= {"stages": stages, "blocks": blocks}
        for name, each in sizes.items():
            if each < 1:
                raise ConfigError(f"{name} must be at least 1, got {each}")
        self.size, self.channels = size, channels
        self.stem = _convolution(channels, width, kernel=3, stride=1)
        made, inside = list[nn.Module](), width
        for place in range(stages * blocks):
            stage, first = place // blocks, place % blocks == 0
            outside, weigh = width << stage, WEIGHING.get(attention)
            block = ResidualBlock(
                inside,
                outside,
                stride=2 if stage and first else 1,
                weigh=None if weigh is None else weigh(channels=outside, reduction=reduction),
            )
            made.append(block)
            inside = outside
        self.blocks = nn.Sequential(*made)
        self.look = None
        if attention == "self-attention":
            side = (size - 1 >> (stages - 1)) + 1  # halved, and rounded up
            self.look = CellAttention(channels=inside, heads=heads, cells=side**2)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(inside, classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return logits of the classes.

        Raises:
            ShapeError: The images have another size.
        """
        check_images(images, channels=self.channels, size=self.size)
        x = images.contiguous(memory_format=torch.channels_last)  # what convolutions are fast on
        x = self.blocks(torch.relu(self.stem(x)))
        x = x if self.look is None else self.look(x)
        return self.out(self.dropout(x.mean((2, 3))))


def check_images(images: Tensor, *, channels: int, size: int) -> None:
    """Check that images are those that a model was made for.

    Raises:
        ShapeError: They are not.
    """
    if images.ndim != 4 or images.shape[1:] != (channels, size, size):
        raise ShapeError(
            f"images must be (batch, {channels}, {size}, {size}), got shape {tuple(images.shape)}"
        )


def _convolution(channels: int, outputs: int, *, kernel: int, stride: int) -> nn.Sequential:
    """A convolution without bias, and batch normalisation."""
    convolve = nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolve.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolve, nn.BatchNorm2d(outputs))
