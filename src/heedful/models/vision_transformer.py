"""What an image shows: a Transformer over its patches, pooled by attention."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.models.convolutional_classifier import check_images
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import EncoderLayer
from heedful.nn.mechanisms import MECHANISMS, Mechanism
from heedful.nn.pooling import AttentionPooling
from heedful.nn.positions import LearnedPositions


class VisionTransformer(nn.Module):
    """Logits of classes: `out(pool(norm(encode(patches + positions))))`.

    Unlike in the paper no token stands for the class: learned queries pool the patches, one a
    head.

    Args:
        classes: Number of classes.
        channels: Of the images.
        size: Height and width of the images.
        patch: Height and width of a patch; divides `size`.
        width: Size of the vectors.
        heads: Of every attention.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        mechanism: A name of `heedful.nn.mechanisms.MECHANISMS`.
        dropout: Share dropped of what sublayers add.

    Raises:
        ConfigError: `patch` does not divide `size`, `heads` does not divide `width`, or `mechanism`
            is unknown.

    Source:
        Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.1; Zhai et al. 2021, arXiv:2106.04560,
        section 3.2 (attention pooling in the place of the class token).

    Cost:
        `patches^2` scores a head and layer, where the mechanism does not spend less.
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        size: int,
        patch: int,
        width: int,
        heads: int,
        layers: int,
        feedforward: int,
        mechanism: str = "scaled_dot",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise ConfigError(f"patch must divide the size of the images, got {patch=}, {size=}")
        self.size, self.channels, self.side = size, channels, size // patch
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.positions = LearnedPositions(width, max_length=self.side**2)
        dim = head_dim(width=width, heads=heads)
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(
                    width=width,
                    heads=heads,
                    mechanism=build_mechanism(mechanism, heads=heads, dim=dim, side=self.side),
                ),
                width=width,
                feedforward=feedforward,
                norm="pre",
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.pooling = AttentionPooling(width=width, heads=heads)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(width, classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return logits of the classes.

        Raises:
            ShapeError: The images have another size.
        """
        check_images(images, channels=self.channels, size=self.size)
        x = self.positions(self.embed(images).flatten(2).mT)
        for layer in self.layers:
            x = layer(x)
        return self.out(self.dropout(self.pooling(self.norm(x))[:, 0]))


def build_mechanism(name: str, *, heads: int, dim: int, side: int) -> Mechanism | None:
    """Make a mechanism for the cells of an image; `None` stands for scaled dot products.

    Args:
        name: Of `heedful.nn.mechanisms.MECHANISMS`.
        heads: Of the attention.
        dim: Of a head.
        side: Cells in a row, and in a column.

    Raises:
        ConfigError: There is no such mechanism.
    """
    if name not in MECHANISMS:
        raise ConfigError(f"mechanism must be one of {', '.join(MECHANISMS)}, got {name!r}")
    cells = side**2
    settings: dict[str, dict[str, Any]] = {
        "linformer": {"max_keys": cells, "rank": max(1, cells // 4)},
        "neighbourhood": {"shape": (side, side), "window": (3, 3)},
    }
    if name == "scaled_dot":
        return None
    return MECHANISMS[name](heads=heads, dim=dim, **settings.get(name, {}))
