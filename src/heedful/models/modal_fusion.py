"""Image, sound and text together: one sequence of tokens in which each kind looks at the others."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.listeners import compiling
from heedful.mask import Mask
from heedful.models.image_captioner import cell_reader
from heedful.models.speech_encoder import Shorten
from heedful.nn.attention import Attention
from heedful.nn.blocks import EncoderLayer, FeedForward
from heedful.nn.pooling import AttentionPooling
from heedful.nn.positions import LearnedPositions, SinusoidalPositions

MODALITIES = ("image", "sound", "text")
STRIDE = 4  # frames of a sound that become one state


class Inputs(NamedTuple):
    """What is fused; of what is missing there may be anything, of any length from 1 on.

    Args:
        images: With values from -1 to 1.
        features: Of sounds, padded with zeros.
        frames: Of each sound.
        text: Characters, padded with 0.
        characters: Of each text.
        present: Which of the three are there.
    """

    images: Float[Tensor, "batch channels rows columns"]
    features: Float[Tensor, "batch frames bands"]
    frames: Int[Tensor, " batch"]
    text: Int[Tensor, "batch characters"]
    characters: Int[Tensor, " batch"]
    present: Bool[Tensor, "batch modalities"]


class Tokens(NamedTuple):
    """One sequence for each example; what is no token stands at its end.

    Args:
        x: The vectors.
        lengths: Tokens of each example.
        kinds: Which modality each is of, as a number in `MODALITIES`.
    """

    x: Float[Tensor, "batch tokens width"]
    lengths: Int[Tensor, " batch"]
    kinds: Int[Tensor, "batch tokens"]


class ModalFusion(nn.Module):
    """Logits of labels from an image, a sound and a text, any of which may be missing.

    Each becomes tokens: cells of the image, states of the sound, characters of the text. All stand
    in one sequence, behind one token for each modality that says whether it is there; what is
    missing has no other token. Layers of self-attention let the tokens of one modality look at
    those of the others, and attention pooling weighs all of them. Without attention the logits are
    made of the means of the modalities, side by side; a learned vector stands for a missing one.

    Args:
        labels: How many there are.
        vocabulary: Characters of texts.
        size: Pixels a side of an image.
        channels: Of an image.
        bands: Of the features of a sound.
        width: Size of the vectors that flow through.
        heads: Of every attention.
        layers: Of self-attention.
        feedforward: Hidden size of the feed-forward parts.
        patch: Pixels a side of a cell; a power of two that divides `size`.
        dropout: Share dropped of tokens and of what layers add, in training.
        modality_dropout: Chance that a modality is taken away in training; one stays always.
        attention: Self-attention and attention pooling, or means side by side?

    Raises:
        ConfigError: Sizes do not divide, or a share is not in [0, 1).

    Source:
        Nagrani et al. 2021, arXiv:2107.00135 (vanilla fusion: tokens of all modalities in one
        sequence).
        Neverova et al. 2014, arXiv:1501.00102 (modalities dropped in training).
    """

    def __init__(
        self,
        *,
        labels: int,
        vocabulary: int,
        size: int,
        channels: int,
        bands: int,
        width: int = 48,
        heads: int = 4,
        layers: int = 2,
        feedforward: int = 96,
        patch: int = 2,
        dropout: float = 0.1,
        modality_dropout: float = 0.3,
        attention: bool = True,
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise ConfigError(f"patch must divide size, got {patch=}, {size=}")
        if not 0 <= modality_dropout < 1:
            raise ConfigError(
                f"modality_dropout must be at least 0 and below 1, got {modality_dropout}"
            )
        self.modality_dropout, self.attention = modality_dropout, attention
        self.image = cell_reader("cnn", channels=channels, width=width, patch=patch)
        self.cell_positions = LearnedPositions(width, max_length=(size // patch) ** 2)
        self.sound = Shorten(bands=bands, channels=width // 2, width=width, stride=STRIDE)
        self.text = nn.Embedding(vocabulary, width)
        self.order = SinusoidalPositions(width)
        self.kinds = nn.Parameter(torch.randn(len(MODALITIES), width) * width**-0.5)
        self.known = nn.Parameter(torch.randn(2, len(MODALITIES), width) * width**-0.5)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(width)
        if attention:
            self.layers = nn.ModuleList(
                EncoderLayer(
                    Attention(width=width, heads=heads),
                    width=width,
                    feedforward=feedforward,
                    norm="pre",
                    dropout=dropout,
                )
                for _ in range(layers)
            )
            self.pooling = AttentionPooling(width=width, heads=heads)
            self.out = nn.Linear(width, labels)
        else:
            whole = len(MODALITIES) * width
            self.mix = FeedForward(whole, hidden=feedforward * max(layers, 1))
            self.out = nn.Linear(whole, labels)

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch labels"]:
        """Return the logits of each example."""
        if self.training and self.modality_dropout:
            inputs = inputs._replace(present=self._dropped(inputs.present))
        if not self.attention:
            means = self.dropout(self._means(inputs))
            return self.out(means + self.dropout(self.mix(means)))
        x, lengths, _ = self.tokens(inputs)
        mask = Mask.lengths(lengths)
        for layer in self.layers:
            x = layer(x, mask=mask)
        return self.out(self.dropout(self.pooling(self.norm(x), mask=mask)[:, 0]))

    def tokens(self, inputs: Inputs) -> Tokens:
        """Return what attention reads: all that is there, without gaps."""
        parts, inside = self._parts(inputs)
        batch, count = inputs.present.shape[0], len(MODALITIES)
        every = torch.arange(count, device=inputs.present.device)
        known = self.known[inputs.present.long(), every] + self.kinds
        x = self.dropout(torch.cat([known, *parts], dim=1))
        seen = torch.cat([torch.ones_like(inputs.present), *inside], dim=1)
        sizes = torch.tensor([part.shape[1] for part in parts], device=every.device)
        kinds = torch.cat([every, every.repeat_interleave(sizes)]).expand(batch, -1)
        lengths = seen.sum(1)
        # no graph knows the largest number: there is room for all
        most = seen.shape[1] if compiling() else int(lengths.max())
        places = torch.arange(seen.shape[1], device=every.device)
        order = torch.where(seen, places, places + seen.shape[1]).argsort(dim=1)[:, :most]
        rows = torch.arange(batch, device=every.device)[:, None]
        return Tokens(x[rows, order], lengths, kinds.gather(1, order))

    def _parts(self, inputs: Inputs) -> tuple[list[Tensor], list[Tensor]]:
        """The tokens of each modality, and which of them are some."""
        cells = self.cell_positions(self.image(inputs.images).flatten(2).transpose(1, 2))
        states, lengths = self.sound(inputs.features, inputs.frames)
        characters = self.text(inputs.text)
        parts = [cells, self.order(states), self.order(characters)]
        whole = torch.full_like(lengths, cells.shape[1])
        inside = [
            (torch.arange(part.shape[1], device=lengths.device) < length[:, None])
            & inputs.present[:, number, None]
            for number, (part, length) in enumerate(
                zip(parts, (whole, lengths, inputs.characters), strict=True)
            )
        ]
        return [part + kind for part, kind in zip(parts, self.kinds, strict=True)], inside

    def _means(self, inputs: Inputs) -> Float[Tensor, "batch whole"]:
        means: list[Tensor] = []
        for number, (part, inside) in enumerate(zip(*self._parts(inputs), strict=True)):
            share = inside[..., None].to(part.dtype)
            mean = (self.norm(part) * share).sum(1) / share.sum(1).clamp(min=1)
            means.append(torch.where(inputs.present[:, number, None], mean, self.known[0, number]))
        return torch.cat(means, dim=1)

    def _dropped(self, present: Tensor) -> Tensor:
        chance = torch.rand(present.shape, device=present.device)
        stays = present & (chance >= self.modality_dropout)
        kept = chance.masked_fill(~present, -1).argmax(1, keepdim=True)
        return stays | (present & torch.zeros_like(present).scatter(1, kept, True))
