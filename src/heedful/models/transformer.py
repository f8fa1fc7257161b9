"""The encoder-decoder Transformer."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.models.seq2seq import State
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import DecoderLayer, EncoderLayer, Norm
from heedful.nn.cache import KeyValueCache
from heedful.nn.positions import (
    LearnedPositions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)

Positions = Literal["sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal"]


class Transformer(nn.Module):
    """Read a source text, write a target text one token at a time.

    Args:
        source_size: Source vocabulary.
        target_size: Target vocabulary.
        width: Size of the vectors that flow through.
        heads: Query heads of every attention.
        kv_heads: Key/value heads of every attention. `None` means `heads`.
        encoder_layers: Layers that read.
        decoder_layers: Layers that write.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of embeddings, sublayer outputs and attention weights in training.
        norm: Normalise before (`pre`) or after (`post`) each sublayer.
        positions: How order becomes visible. Rotary and relative positions act inside
            self-attention; with `rotary+sinusoidal` cross-attention sees order too.
        max_length: Longest text, for learned positions only.
        tie_embeddings: One matrix for the target embedding and the output.

    Raises:
        ConfigError: Sizes do not divide, or `norm` or `positions` is unknown.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.
        Press and Wolf 2016, arXiv:1608.05859, section 3 (tied embeddings).
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        width: int = 128,
        heads: int = 8,
        kv_heads: int | None = None,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        feedforward: int = 256,
        dropout: float = 0.0,
        norm: Norm = "pre",
        positions: Positions = "sinusoidal",
        max_length: int = 512,
        tie_embeddings: bool = True,
    ) -> None:
        super().__init__()
        self.source_embedding = _embedding(source_size, width)
        self.target_embedding = _embedding(target_size, width)
        self.source_positions = _absolute(positions, width, max_length)
        self.target_positions = _absolute(positions, width, max_length)
        self.dropout = nn.Dropout(dropout)
        self.scale = width**0.5

        def attention(*, cross: bool = False) -> Attention:
            inside = None if cross else _inside(positions, width, heads)
            return Attention(
                width=width, heads=heads, kv_heads=kv_heads, dropout=dropout, positions=inside
            )

        self.encoder = nn.ModuleList(
            EncoderLayer(
                attention(), width=width, feedforward=feedforward, norm=norm, dropout=dropout
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(
                attention(),
                attention(cross=True),
                width=width,
                feedforward=feedforward,
                norm=norm,
                dropout=dropout,
            )
            for _ in range(decoder_layers)
        )
        # post-norm layers end normalised; pre-norm sums are not
        self.encoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.out = nn.Linear(width, target_size, bias=False)
        if tie_embeddings:
            self.out.weight = self.target_embedding.weight
        else:
            nn.init.xavier_uniform_(self.out.weight)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text that it has positions for; `None` means any length."""
        positions = self.source_positions
        return positions.max_length if isinstance(positions, LearnedPositions) else None

    def forward(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries target_size"]:
        """Return the logits of the token after each target token (teacher forcing)."""
        memory, mask = self.encode(source, lengths)
        return self.decode(target, memory, mask)

    def encode(
        self, source: Int[Tensor, "batch keys"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch keys width"], Mask]:
        """Return the encoder's states and which of them are text."""
        mask = Mask.lengths(lengths)
        x = self.source_embedding(source) * self.scale
        x = self.dropout(x if self.source_positions is None else self.source_positions(x))
        for layer in self.encoder:
            x = layer(x, mask=mask)
        return self.encoder_norm(x), mask

    def decode(
        self,
        target: Int[Tensor, "batch queries"],
        memory: Float[Tensor, "batch keys width"],
        mask: Mask,
        caches: list[tuple[KeyValueCache, KeyValueCache]] | None = None,
        *,
        offset: int = 0,
    ) -> Float[Tensor, "batch queries target_size"]:
        """Return logits; with caches `target` holds only what is behind `offset` tokens seen."""
        return self.out(self.states(target, memory, mask, caches, offset=offset))

    def states(
        self,
        target: Int[Tensor, "batch queries"],
        memory: Float[Tensor, "batch keys width"],
        mask: Mask,
        caches: list[tuple[KeyValueCache, KeyValueCache]] | None = None,
        *,
        offset: int = 0,
    ) -> Float[Tensor, "batch queries width"]:
        """Return what `decode` makes logits of."""
        x = self.target_embedding(target) * self.scale
        if self.target_positions is not None:
            x = self.target_positions(x, offset=offset)
        x = self.dropout(x)
        for index, layer in enumerate(self.decoder):
            own, cross = caches[index] if caches else (None, None)
            x = layer(x, memory, memory_mask=mask, self_cache=own, cross_cache=cross)
        return self.decoder_norm(x)

    def start(
        self, source: Int[Tensor, "batch keys"], lengths: Int[Tensor, " batch"]
    ) -> "TransformerState":
        """Read the source once; `step` then writes."""
        memory, mask = self.encode(source, lengths)
        return TransformerState(memory, mask, len(self.decoder))

    def step(
        self, tokens: Int[Tensor, " batch"], state: "TransformerState"
    ) -> Float[Tensor, "batch target_size"]:
        """Return the logits of the next token and advance `state`."""
        logits = self.decode(
            tokens[:, None], state.memory, state.mask, state.caches, offset=state.written
        )
        state.written += 1
        return logits[:, -1]

    def alignment(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries keys"]:
        """Return how each target position looks at the source: the mean over layers and heads.

        Raises:
            UnsupportedError: No layer looks at the source any more.
        """
        from heedful.probing.probe import probe  # here, since only whoever looks pays for it

        crosses = [f"decoder.{layer}.cross_attention" for layer in range(len(self.decoder))]
        sites = [name for name in crosses if isinstance(self.get_submodule(name), Attention)]
        if not sites:
            raise UnsupportedError("a layer must look at the source to show where, got none left")
        with probe(self, sites=sites) as p:
            self(source, lengths, target)
        return torch.stack([p.maps(site).mean(1) for site in sites]).mean(0)


class TransformerState(State):
    """The encoder's states and, for each decoder layer, its keys and values so far."""

    def __init__(self, memory: Tensor, mask: Mask, layers: int) -> None:
        self.memory, self.mask = memory, mask
        self.caches = [(KeyValueCache(), KeyValueCache()) for _ in range(layers)]
        self.written = 0

    def select(self, rows: Tensor) -> None:
        self.memory = self.memory.index_select(0, rows)
        self.mask = self.mask.select(rows)
        for own, cross in self.caches:
            own.select(rows)
            cross.select(rows)


def _embedding(size: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(size, width)
    nn.init.normal_(embedding.weight, std=width**-0.5)
    return embedding


def _absolute(
    positions: Positions, width: int, max_length: int
) -> SinusoidalPositions | LearnedPositions | None:
    if positions in ("sinusoidal", "rotary+sinusoidal"):
        return SinusoidalPositions(width)
    if positions == "learned":
        return LearnedPositions(width, max_length=max_length)
    if positions in ("rotary", "relative"):
        return None
    raise ConfigError(
        f"positions must be one of {', '.join(get_args(Positions))}, got {positions!r}"
    )


def _inside(
    positions: Positions, width: int, heads: int
) -> RotaryPositions | RelativePositions | None:
    if positions in ("rotary", "rotary+sinusoidal"):
        return RotaryPositions(head_dim(width=width, heads=heads))
    return RelativePositions(heads) if positions == "relative" else None
