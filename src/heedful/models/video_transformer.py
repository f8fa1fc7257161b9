"""What a video shows: attention within each frame, then over time at each place, layer by layer."""

from functools import partial
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError
from heedful.nn.attention import Attention
from heedful.nn.blocks import FeedForward, Residual
from heedful.nn.constant import Constant
from heedful.nn.pooling import AttentionPooling
from heedful.nn.positions import LearnedPositions

Time = Literal["attention", "mean"]


class FactorisedLayer(nn.Module):
    """Self-attention within each frame, then over the frames at each place, then feed-forward.

    Args:
        width: Size of the vectors.
        heads: Of both attentions.
        feedforward: Hidden size of the feed-forward part.
        dropout: Share dropped of what sublayers add.
        time: Is there attention over frames?

    Raises:
        ConfigError: `heads` does not divide `width`.

    Source:
        Arnab et al. 2021, arXiv:2103.15691, section 3.3, model 3 (space, then time); Bertasius et
        al. 2021, arXiv:2102.05095, section 3 (divided attention, time first).

    Cost:
        `frames places (frames + places)` scores a head, where all pairs would be
        `(frames places)^2`.
    """

    def __init__(
        self, *, width: int, heads: int, feedforward: int, dropout: float, time: bool
    ) -> None:
        super().__init__()
        self.space: Attention | Constant = Attention(width=width, heads=heads)
        self.space_residual = Residual(width, norm="pre", dropout=dropout)
        self.time: Attention | Constant | None = None
        if time:
            self.time = Attention(width=width, heads=heads)
            self.time_residual = Residual(width, norm="pre", dropout=dropout)
        self.feedforward = FeedForward(width, hidden=feedforward)
        self.feedforward_residual = Residual(width, norm="pre", dropout=dropout)

    def forward(
        self, x: Float[Tensor, "batch frames places width"]
    ) -> Float[Tensor, "batch frames places width"]:
        frames = x.shape[1]
        x = self.space_residual(x.flatten(0, 1), self.space)
        if self.time is not None:
            x = x.unflatten(0, (-1, frames)).transpose(1, 2)
            places = x.shape[1]
            x = self.time_residual(x.flatten(0, 1), self.time)
            x = x.unflatten(0, (-1, places)).transpose(1, 2).flatten(0, 1)
        return self.feedforward_residual(x, self.feedforward).unflatten(0, (-1, frames))


class VideoTransformer(nn.Module):
    """Logits of classes: `out(mean over frames of pool(norm(encode(patches + positions))))`.

    Each frame is cut into patches; attention pools those of a frame, and the mean is taken over
    frames. With `time="mean"` no frame knows of another, nor when it is: their order cannot matter.

    Args:
        classes: Number of classes.
        channels: Of the frames.
        size: Height and width of the frames.
        frames: How many there are.
        patch: Height and width of a patch; divides `size`.
        width: Size of the vectors.
        heads: Of every attention.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        time: `attention` over frames, or only their `mean`.
        dropout: Share dropped of what sublayers add.

    Raises:
        ConfigError: `patch` does not divide `size`, `heads` does not divide `width`, or `time` is
            unknown.

    Source:
        Arnab et al. 2021, arXiv:2103.15691, sections 3.2 (uniform frames) and 3.3, model 3.
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        size: int,
        frames: int,
        patch: int,
        width: int,
        heads: int,
        layers: int,
        feedforward: int,
        time: Time = "attention",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise ConfigError(f"patch must divide the size of the frames, got {patch=}, {size=}")
        if time not in get_args(Time):
            raise ConfigError(f"time must be one of {', '.join(get_args(Time))}, got {time!r}")
        self.shape = frames, channels, size, size
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.places = LearnedPositions(width, max_length=(size // patch) ** 2)
        self.times = LearnedPositions(width, max_length=frames) if time == "attention" else None
        layer = partial(FactorisedLayer, width=width, heads=heads, feedforward=feedforward)
        self.layers = nn.Sequential(
            *(layer(dropout=dropout, time=time == "attention") for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self.pooling = AttentionPooling(width=width, heads=heads)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(width, classes)

    def forward(
        self, videos: Float[Tensor, "batch frames channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return logits of the classes.

        Raises:
            ShapeError: The videos have other frames.
        """
        if videos.shape[1:] != self.shape:
            raise ShapeError(
                f"videos must be (batch, {', '.join(map(str, self.shape))}), "
                f"got shape {tuple(videos.shape)}"
            )
        patches = self.embed(videos.flatten(0, 1)).flatten(2).mT
        x = self.places(patches).unflatten(0, videos.shape[:2])
        if self.times is not None:
            x = x + self.times.table[:, None]
        x = self.norm(self.layers(x))
        pooled = self.pooling(x.flatten(0, 1))[:, 0].unflatten(0, videos.shape[:2])
        return self.out(self.dropout(pooled.mean(1)))
