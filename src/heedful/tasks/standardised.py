"""Images of mean 0 and variance 1, each by itself: as networks for masks and boxes see them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def standardised(images: "Tensor") -> "Tensor":
    """Take the mean of each image off it, and divide by its standard deviation and one more.

    The one more keeps an image of one colour finite.

    Args:
        images: `(batch, channels, height, width)`, from 0 to 255.
    """
    means, spreads = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
    return (images - means) / (spreads + 1)
