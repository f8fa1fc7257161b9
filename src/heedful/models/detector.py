"""Boxes from an image as a set: convolutions, a Transformer, queries that each find one thing."""

import math
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from heedful.errors import ConfigError
from heedful.nn.attention import Attention
from heedful.nn.blocks import EncoderLayer, FeedForward, Residual

GROUPS = 4  # of channels that are normalised together
FAINT = 0.3  # of positions, beside what stands there
LARGEST = 4.0  # of the logarithm of a box's side in cells


class Detected(NamedTuple):
    """What every decoder layer says, the last one last.

    Boxes are centre, width and height in shares of the image. The last logit is of no thing.
    """

    logits: Float[Tensor, "layers batch queries labels"]
    boxes: Float[Tensor, "layers batch queries four"]


class QueryLayer(nn.Module):
    """Queries look at each other, then at the image; then a feed-forward part.

    Args:
        width: Size of the vectors.
        heads: Of both attentions.
        feedforward: Hidden size of the feed-forward part.

    Source:
        Carion et al. 2020, arXiv:2005.12872, section 3.2, "Transformer decoder".
    """

    def __init__(self, *, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attention = Attention(width=width, heads=heads)
        self.cross_attention = Attention(width=width, heads=heads)
        self.feedforward = FeedForward(width, hidden=feedforward)
        self.self_residual, self.cross_residual, self.feedforward_residual = (
            Residual(width, norm="pre", dropout=0.0) for _ in range(3)
        )

    def forward(
        self, x: Float[Tensor, "batch queries width"], memory: Float[Tensor, "batch keys width"]
    ) -> Float[Tensor, "batch queries width"]:
        """Let queries look."""
        x = self.self_residual(x, self.self_attention)
        x = self.cross_residual(x, partial(self.cross_attention, context=memory))
        return self.feedforward_residual(x, self.feedforward)


class Detector(nn.Module):
    """Find things: at most one for each query, and each thing by one query.

    Convolutions shrink the image to a grid of cells, which a Transformer encoder relates to each
    other. Queries stand on a grid too, and begin as the mean of what the encoder says where they
    stand; decoder layers let them look at each other and at all cells. A box is told from where its
    query stands: how many cells away, and how many cells wide and high.

    Unlike in DETR queries are not learned but stand at reference points, as those of later papers
    do, and positions are added once to what enters the encoder. Every layer begins as the identity,
    so that labels are learned from the convolutions at once, and attention is what is learned on
    top. A layer count of 0 leaves that part out: with 0 for both there is no attention.

    Args:
        labels: Kinds of things.
        channels: Of the images.
        width: Size of the vectors; a multiple of 4 times what convolutions begin with.
        stride: Pixels a side of a cell; a power of 2.
        every: Cells a side for each query.
        encoder_layers: How many.
        decoder_layers: How many.
        heads: Of every attention.

    Raises:
        ConfigError: A size is below 1, `stride` is no power of 2, or sizes do not divide.

    Source:
        Carion et al. 2020, arXiv:2005.12872, section 3.2 (the architecture).
        Zhu et al. 2021, arXiv:2010.04159, section 4.2, "Two-stage" (queries from the encoder).
        Meng et al. 2021, arXiv:2108.06152, section 3.2 (reference points).

    Cost:
        `cells^2` scores a head and encoder layer, `queries (queries + cells)` a decoder layer.
    """

    def __init__(
        self,
        *,
        labels: int,
        channels: int,
        width: int = 64,
        stride: int = 4,
        every: int = 1,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        for name, size in {"labels": labels, "channels": channels, "every": every}.items():
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}")
        halvings = stride.bit_length() - 1
        if stride < 2 or stride != 2**halvings or width < 1 or width % (GROUPS * 2**halvings):
            raise ConfigError(
                "stride must be a power of 2, and width a multiple of "
                f"{GROUPS} * stride, got {stride=}, {width=}"
            )
        self.stride, self.every = stride, every
        widths = [width // 2 ** (halvings - step) for step in range(halvings + 1)]
        self.first = _convolution(channels, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(few, more, stride=2), _convolution(more, more))
            for few, more in pairwise(widths)
        )
        self.encoder = nn.ModuleList(
            EncoderLayer(
                Attention(width=width, heads=heads),
                width=width,
                feedforward=2 * width,
                norm="pre",
                dropout=0.0,
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            QueryLayer(width=width, heads=heads, feedforward=2 * width)
            for _ in range(decoder_layers)
        )
        _begin_as_identity(self.encoder, self.decoder)
        self.norm = nn.LayerNorm(width)
        self.label = nn.Linear(width, labels + 1)
        last = nn.Linear(width, 4)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.box = nn.Sequential(nn.Linear(width, width), nn.ReLU(), last)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Detected:
        """Return labels and boxes of all queries, after every decoder layer."""
        x = self.first(images)
        for step in self.down:
            x = step(x)
        rows, columns = x.shape[2:]
        x = x.flatten(2).mT + FAINT * self._positions(rows, columns, like=x)
        for layer in self.encoder:
            x = layer(x)
        grid = (max(1, rows // self.every), max(1, columns // self.every))
        queries = adaptive_avg_pool2d(x.mT.unflatten(2, (rows, columns)), grid).flatten(2).mT
        said: list[Tensor] = []
        for layer in self.decoder:
            queries = layer(queries, x)
            said.append(queries)
        states = self.norm(torch.stack(said or [queries]))
        cell = states.new_tensor([1 / grid[1], 1 / grid[0]])
        moved = self.box(states).float()
        centres = _centres(*grid, like=moved) + moved[..., :2] * cell
        sides = cell * moved[..., 2:].clamp(-LARGEST, LARGEST).exp()
        return Detected(self.label(states), torch.cat([centres, sides], -1))

    def _positions(self, rows: int, columns: int, *, like: Tensor) -> Float[Tensor, "cells width"]:
        """Sines and cosines of where cells are, half of them of columns and half of rows."""
        quarter = self.norm.normalized_shape[0] // 4
        places = _centres(rows, columns, like=like).float()
        waves = math.pi * 2.0 ** torch.linspace(0, 5, quarter, device=like.device)
        angles = places[:, :, None] * waves
        return torch.cat([angles.sin(), angles.cos()], -1).flatten(1).to(like.dtype)


def _centres(rows: int, columns: int, *, like: Tensor) -> Float[Tensor, "cells two"]:
    """The middles of cells, line by line: x, then y, in shares of the image."""
    y = (torch.arange(rows, device=like.device) + 0.5) / rows
    x = (torch.arange(columns, device=like.device) + 0.5) / columns
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], 1)


def _begin_as_identity(*layers: nn.Module) -> None:
    """Let nothing be added by any attention or feed-forward part, until that is learned."""
    for module in (each for layer in layers for each in layer.modules()):
        if isinstance(module, Attention):
            nn.init.zeros_(module.out.weight)
        elif isinstance(module, FeedForward):
            nn.init.zeros_(module.outer.weight)


def _convolution(channels: int, width: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, stride=stride, bias=False),
        nn.GroupNorm(GROUPS, width),
        nn.ReLU(),
    )
