"""An image encoder, and a Transformer decoder that looks at the cells of the image."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.models.transformer import TransformerState
from heedful.nn.attention import Attention
from heedful.nn.blocks import DecoderLayer, EncoderLayer
from heedful.nn.cache import KeyValueCache
from heedful.nn.positions import LearnedPositions, SinusoidalPositions

Reading = Literal["cnn", "patches"]


class ImageCaptioner(nn.Module):
    """Read an image as a grid of cells, write a sentence one token at a time.

    Every word is written by a query that looks at the cells, as in the paper's soft attention; its
    decoder is an LSTM, this one a Transformer's. Without attention the decoder sees the mean of all
    cells instead.

    Args:
        target_size: Vocabulary.
        size: Pixels a side of an image.
        channels: Of an image.
        width: Size of the vectors that flow through.
        heads: Of every attention.
        encoder: `cnn`: convolutions, each of which halves the sides; `patches`: one projection of
            each cell's pixels, as in a vision Transformer.
        patch: Pixels a side of a cell; divides `size`. A power of two with `cnn`.
        encoder_layers: Layers of self-attention among cells.
        decoder_layers: Layers that write.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of cells, embeddings, sublayer outputs and attention weights in
            training.
        word_dropout: Share of words that the decoder does not see in training, so that it must look
            at the image; `unknown` stands for them.
        unknown: The token of words that nobody knows.
        attention: Does every word look at the cells? Else it sees their mean.

    Raises:
        ConfigError: Sizes do not divide, `encoder` is unknown, or a share is not in [0, 1).

    Source:
        Xu et al. 2015, arXiv:1502.03044, section 3.1 (cells) and 4.2 (soft attention).
        Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.1 (patches).
        Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (layers).
        Bowman et al. 2015, arXiv:1511.06349 (word dropout).
    """

    def __init__(
        self,
        *,
        target_size: int,
        size: int,
        channels: int = 3,
        width: int = 64,
        heads: int = 4,
        encoder: Reading = "cnn",
        patch: int = 4,
        encoder_layers: int = 0,
        decoder_layers: int = 2,
        feedforward: int = 128,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown: int = 3,
        attention: bool = True,
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise ConfigError(f"patch must divide size, got {patch=}, {size=}")
        if not 0 <= word_dropout < 1:
            raise ConfigError(f"word_dropout must be at least 0 and below 1, got {word_dropout}")
        self.side, self.shape = size // patch, (channels, size, size)
        self.read = cell_reader(encoder, channels=channels, width=width, patch=patch)
        self.cell_positions = LearnedPositions(width, max_length=self.side**2)
        self.target_embedding = nn.Embedding(target_size, width)
        self.target_positions = SinusoidalPositions(width)
        nn.init.normal_(self.target_embedding.weight, std=width**-0.5)
        self.scale, self.attention = width**0.5, attention
        self.word_dropout, self.unknown = word_dropout, unknown
        self.dropout = nn.Dropout(dropout)

        def mixing() -> Attention:
            return Attention(width=width, heads=heads, dropout=dropout)

        self.encoder = nn.ModuleList(
            EncoderLayer(
                mixing(), width=width, feedforward=feedforward, norm="pre", dropout=dropout
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(
                mixing(),
                mixing(),
                width=width,
                feedforward=feedforward,
                norm="pre",
                dropout=dropout,
            )
            for _ in range(decoder_layers)
        )
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.out = nn.Linear(width, target_size, bias=False)
        self.out.weight = self.target_embedding.weight

    @property
    def longest(self) -> int | None:
        """No sentence is too long."""
        return None

    def forward(
        self,
        images: Float[Tensor, "batch channels rows columns"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries target_size"]:
        """Return the logits of the token after each target token (teacher forcing)."""
        return self.decode(target, self.encode(images))

    def encode(
        self, images: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch cells width"]:
        """Return the cells, row by row; without attention one vector, their mean.

        Raises:
            ShapeError: The images have other sizes.
        """
        if images.shape[1:] != self.shape:
            raise ShapeError(f"images must be {self.shape}, got {tuple(images.shape[1:])}")
        cells = self.dropout(self.cell_positions(self.read(images).flatten(2).transpose(1, 2)))
        for layer in self.encoder:
            cells = layer(cells)
        cells = self.encoder_norm(cells)
        return cells if self.attention else cells.mean(1, keepdim=True)

    def decode(
        self,
        target: Int[Tensor, "batch queries"],
        cells: Float[Tensor, "batch cells width"],
        caches: list[tuple[KeyValueCache, KeyValueCache]] | None = None,
        *,
        offset: int = 0,
    ) -> Float[Tensor, "batch queries target_size"]:
        """Return logits; with caches `target` holds only what is behind `offset` tokens seen."""
        if self.training and self.word_dropout:
            hidden = torch.rand(target.shape, device=target.device) < self.word_dropout
            hidden[:, 0] = False  # where a sentence begins
            target = target.masked_fill(hidden, self.unknown)
        x = self.target_embedding(target) * self.scale
        x = self.dropout(self.target_positions(x, offset=offset))
        for index, layer in enumerate(self.decoder):
            own, cross = caches[index] if caches else (None, None)
            x = layer(x, cells, self_cache=own, cross_cache=cross)
        return self.out(self.decoder_norm(x))

    def start(
        self,
        images: Float[Tensor, "batch channels rows columns"],
        lengths: Int[Tensor, " batch"],
    ) -> TransformerState:
        """Read the images once; `step` then writes. All are as large: lengths say nothing."""
        cells = self.encode(images)
        return TransformerState(cells, Mask.full(), len(self.decoder))

    def step(
        self, tokens: Int[Tensor, " batch"], state: TransformerState
    ) -> Float[Tensor, "batch target_size"]:
        """Return the logits of the next token and advance `state`."""
        logits = self.decode(tokens[:, None], state.memory, state.caches, offset=state.written)
        state.written += 1
        return logits[:, -1]

    def alignment(
        self,
        images: Float[Tensor, "batch channels rows columns"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries cells"]:
        """Return how each target position looks at the cells: the mean over layers and heads.

        Raises:
            UnsupportedError: No layer looks at the cells.
        """
        from heedful.probing.probe import probe  # here, since only whoever looks pays for it

        crosses = [f"decoder.{layer}.cross_attention" for layer in range(len(self.decoder))]
        sites = [name for name in crosses if isinstance(self.get_submodule(name), Attention)]
        if not (sites and self.attention):
            raise UnsupportedError("a layer must look at the image to show where, got none")
        with probe(self, sites=sites) as p:
            self(images, target)
        return torch.stack([p.maps(site).mean(1) for site in sites]).mean(0)


def cell_reader(name: str, *, channels: int, width: int, patch: int) -> nn.Module:
    """Return what makes cells of an image, `(batch, width, rows, columns)`.

    Args:
        name: `cnn`: convolutions, each of which halves the sides, and one more; `patches`: one
            projection of each cell's pixels.
        channels: Of an image.
        width: Of a cell.
        patch: Pixels a side of a cell.

    Raises:
        ConfigError: `name` is unknown, or `patch` is no power of two with `cnn`.
    """
    if name == "patches":
        return nn.Conv2d(channels, width, patch, stride=patch)
    if name != "cnn":
        raise ConfigError(f"encoder must be one of {', '.join(get_args(Reading))}, got {name!r}")
    halvings = patch.bit_length() - 1
    if patch != 1 << halvings or not halvings:
        raise ConfigError(f"patch must be a power of two above 1 with cnn, got {patch}")
    layers: list[nn.Module] = []
    for left in reversed(range(halvings)):
        wide = max(width >> left, 8)
        layers += [nn.Conv2d(channels, wide, 3, stride=2, padding=1), nn.ReLU()]
        channels = wide
    return nn.Sequential(*layers, nn.Conv2d(channels, width, 3, padding=1))
