"""A small convolutional network that tells what an image shows, and describes it by features."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, relu

from heedful.errors import ConfigError

CELLS = 4  # cells a side, of each of which the largest number is kept


class ImageClassifier(nn.Module):
    """Two convolutions, the largest numbers of 4 x 4 cells, and features below the classes.

    Args:
        classes: Number of classes.
        channels: Of the images.
        width: Channels after the first convolution; twice as many after the second.
        features: Numbers by which an image is described.

    Raises:
        ConfigError: A size is below 1.
    """

    def __init__(
        self, *, classes: int, channels: int = 1, width: int = 16, features: int = 32
    ) -> None:
        super().__init__()
        sizes = {"classes": classes, "channels": channels, "width": width, "features": features}
        for name, size in sizes.items():
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, padding=1, stride=2)
        self.describe = nn.Linear(2 * width * CELLS**2, features)
        self.classify = nn.Linear(features, classes)

    def features(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch features"]:
        """Describe images by what the last layer looks at."""
        x = relu(self.second(relu(self.first(images))))
        return relu(self.describe(adaptive_max_pool2d(x, CELLS).flatten(1)))

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return logits of the classes."""
        return self.classify(self.features(images))
