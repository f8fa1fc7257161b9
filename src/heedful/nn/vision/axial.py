"""Axial attention: every pixel looks at its column, then at its row."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.positions import RelativePositions, RotaryPositions
from heedful.nn.vision._image import check_channels, check_image, hide, mask_keys


class AxialWeights(NamedTuple):
    """Who looks at whom in each column, and in each row."""

    height: Float[Tensor, "batch width heads queries keys"]
    width: Float[Tensor, "batch height heads queries keys"]


class Axial(nn.Module):
    """Let every pixel look along its column, then along its row: in two steps, at the whole image.

    `y = attention_width(attention_height(x))`, two multi-head attentions with their projections.
    Nothing is added to the result: a residual connection is the caller's. Without positions no
    order of rows or columns is known; the position-sensitive scores of Wang et al. are not
    included. A pixel that `mask` hides is no key and gives 0.

    Args:
        channels: Of the image.
        heads: Number of heads; divides `channels`.
        height_positions: What the attention along the height knows of places, e.g.
            `RotaryPositions(dim)`.
        width_positions: The same along the width.

    Raises:
        ConfigError: `heads` or `channels` is below 1, `heads` does not divide, or positions were
            made for other heads.

    Source:
        Ho et al. 2019, arXiv:1912.12180.
        Wang et al. 2020, arXiv:2003.07853, section 3.2 (height, then width).

    Cost:
        `height width (height + width)` scores a head, where all pairs would be
        `(height width)^2`.
    """

    def __init__(
        self,
        *,
        channels: int,
        heads: int = 8,
        height_positions: RotaryPositions | RelativePositions | None = None,
        width_positions: RotaryPositions | RelativePositions | None = None,
    ) -> None:
        super().__init__()
        check_channels(channels, heads=heads)
        self.channels, self.heads = channels, heads
        self.along_height = Attention(width=channels, heads=heads, positions=height_positions)
        self.along_width = Attention(width=channels, heads=heads, positions=width_positions)

    def forward(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Look along the height, then along the width.

        Args:
            x: The image.
            mask: True = the pixel exists. `None` means: all do.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        rows = _rows(self._mix_height(x, mask))
        mixed = self.along_width(rows, mask=_line_mask(mask))
        image = mixed.unflatten(0, (x.shape[0], x.shape[2])).permute(0, 3, 1, 2)
        return hide(image, mask).to(x.dtype)

    def weights(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> AxialWeights:
        """Return the weights of both steps; 0 from and to pixels that do not exist.

        Raises:
            ShapeError: `x` has other axes or channels, or `mask` another shape.
            ConfigError: `x` is not floating-point, or `mask` not boolean.
        """
        check_image(x, mask, channels=self.channels)
        turned = None if mask is None else mask.mT
        columns, rows = _columns(hide(x, mask)), _rows(self._mix_height(x, mask))
        height = self.along_height.weights(columns, mask=_line_mask(turned))
        width = self.along_width.weights(rows, mask=_line_mask(mask))
        return AxialWeights(
            _by_line(height, x.shape[0], turned).to(x.dtype),
            _by_line(width, x.shape[0], mask).to(x.dtype),
        )

    def _mix_height(self, x: Tensor, mask: Tensor | None) -> Tensor:
        turned = None if mask is None else mask.mT
        mixed = self.along_height(_columns(hide(x, mask)), mask=_line_mask(turned))
        return mixed.unflatten(0, (x.shape[0], x.shape[3])).permute(0, 3, 2, 1)


def _columns(x: Tensor) -> Float[Tensor, "columns height channels"]:
    return x.permute(0, 3, 2, 1).flatten(0, 1)


def _rows(x: Tensor) -> Float[Tensor, "rows width channels"]:
    return x.permute(0, 2, 3, 1).flatten(0, 1)


def _line_mask(mask: Tensor | None) -> Mask | None:
    """What each line sees of itself."""
    return None if mask is None else mask_keys(mask.flatten(0, 1)[:, None])


def _by_line(weights: Tensor, batch: int, mask: Tensor | None) -> Tensor:
    """`(batch, lines, heads, queries, keys)`, 0 in the rows of pixels that do not exist."""
    weights = weights.unflatten(0, (batch, -1))
    return weights if mask is None else weights.masked_fill(~mask[:, :, None, :, None], 0.0)
