"""What vision modules do alike around what tells them apart: channels weighed, pixels mixed."""

import abc

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.nn.vision._image import check_image, hide, hide_queries, hide_rows, mean_over_pixels


class ChannelAttention(nn.Module, abc.ABC):
    """Multiply every channel by a weight that depends on the means of channels.

    Args:
        channels: Of the image.
    """

    @abc.abstractmethod
    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @abc.abstractmethod
    def _scores(self, means: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch channels"]:
        """What becomes a weight by a sigmoid."""

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
        scores = self._scores(mean_over_pixels(x, mask))
        return hide_rows(torch.sigmoid(scores), mask).to(x.dtype)


class PixelAttention(nn.Module, abc.ABC):
    """Add to every pixel what it receives from all pixels.

    Args:
        channels: Of the image.
    """

    @abc.abstractmethod
    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @abc.abstractmethod
    def _added(
        self,
        x: Float[Tensor, "batch channels height width"],
        mask: Bool[Tensor, "batch height width"] | None,
    ) -> Float[Tensor, "batch channels height width"]:
        """What is added to an image whose hidden pixels are 0."""

    @abc.abstractmethod
    def _weigh(
        self,
        x: Float[Tensor, "batch channels height width"],
        mask: Bool[Tensor, "batch height width"] | None,
    ) -> Float[Tensor, "batch queries keys"]:
        """The weights by which pixels are mixed, also those from pixels that do not exist."""

    def forward(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Let every pixel look at all.

        Args:
            x: The image.
            mask: True = the pixel exists. `None` means: all do.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        visible = hide(x, mask)
        return hide(visible + self._added(visible, mask), mask).to(x.dtype)

    def weights(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch queries keys"]:
        """Return `w`, pixels line by line; 0 from and to pixels that do not exist.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        return hide_queries(self._weigh(hide(x, mask), mask), mask).to(x.dtype)
