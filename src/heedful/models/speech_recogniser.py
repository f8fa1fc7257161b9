"""Speech to text: an encoder of sounds, read by frames (CTC) and by an attention decoder."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.models.ctc import BLANK
from heedful.models.speech_encoder import SpeechEncoder
from heedful.models.transformer import TransformerState
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import DecoderLayer
from heedful.nn.cache import KeyValueCache
from heedful.nn.positions import RotaryPositions, SinusoidalPositions

Caches = list[tuple[KeyValueCache, KeyValueCache]]


class SpeechRecogniser(nn.Module):
    """Read log-mel features, write a text: with the interface of `heedful.models.seq2seq.Seq2Seq`.

    `ctc` says for every state which token is heard in it, token 0 for none. The decoder writes
    token by token and attends to the states. Both learn from one encoder.

    Args:
        bands: Of the features.
        size: Vocabulary; token 0 is padding, and the blank of CTC.
        width: Of a state.
        heads: Of every attention; an even number of dimensions for each.
        feedforward: Hidden size of the feed-forward parts.
        decoder_layers: Layers that write.
        dropout: Share dropped of states, embeddings and of what layers add.
        settings: Others of `SpeechEncoder`.

    Raises:
        ConfigError: `heads` does not divide `width` into even parts, or `stride` is unknown.

    Source:
        Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech
        recognition", IEEE Journal of Selected Topics in Signal Processing 11, section III (one
        encoder for CTC and for an attention decoder).
    """

    longest = None

    def __init__(
        self,
        *,
        bands: int,
        size: int,
        width: int = 96,
        heads: int = 4,
        feedforward: int = 192,
        decoder_layers: int = 1,
        dropout: float = 0.1,
        **settings: Any,
    ) -> None:
        super().__init__()
        shared: dict[str, Any] = {
            "width": width,
            "feedforward": feedforward,
            "dropout": dropout,
        }
        self.encoder = SpeechEncoder(bands=bands, heads=heads, **shared, **settings)
        self.ctc = nn.Linear(width, size)
        self.embedding = nn.Embedding(size, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.scale, self.dropout = width**0.5, nn.Dropout(dropout)
        self.positions = SinusoidalPositions(width)
        dim = head_dim(width=width, heads=heads)
        self.decoder = nn.ModuleList(
            DecoderLayer(
                Attention(width=width, heads=heads, positions=RotaryPositions(dim)),
                Attention(width=width, heads=heads),
                norm="pre",
                **shared,
            )
            for _ in range(decoder_layers)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, size)

    def forward(
        self,
        features: Float[Tensor, "batch frames bands"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries size"]:
        """Return the decoder's logits of the token after each target token."""
        states, lengths = self.encoder(features, lengths)
        return self.decode(target, self.positions(states), Mask.lengths(lengths))

    def both(
        self,
        features: Float[Tensor, "batch frames bands"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> tuple[
        Float[Tensor, "batch states size"],
        Int[Tensor, " batch"],
        Float[Tensor, "batch queries size"],
    ]:
        """Return the logits of each state, how many states there are, and the decoder's logits."""
        states, lengths = self.encoder(features, lengths)
        written = self.decode(target, self.positions(states), Mask.lengths(lengths))
        return self.ctc(states), lengths, written

    def heard(
        self, features: Float[Tensor, "batch frames bands"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch states size"], Int[Tensor, " batch"]]:
        """Return the logarithms of what is likely in each state, and how many states there are."""
        states, lengths = self.encoder(features, lengths)
        return self.ctc(states).float().log_softmax(-1), lengths

    def decode(
        self,
        target: Int[Tensor, "batch queries"],
        memory: Float[Tensor, "batch states width"],
        mask: Mask,
        caches: Caches | None = None,
        *,
        offset: int = 0,
    ) -> Float[Tensor, "batch queries size"]:
        """Return logits; with caches `target` holds only what is behind `offset` tokens seen."""
        x = self.dropout(self.positions(self.embedding(target) * self.scale, offset=offset))
        for index, layer in enumerate(self.decoder):
            own, cross = caches[index] if caches else (None, None)
            x = layer(x, memory, memory_mask=mask, self_cache=own, cross_cache=cross)
        return self.out(self.norm(x))

    def start(
        self, source: Float[Tensor, "batch frames bands"], lengths: Int[Tensor, " batch"]
    ) -> TransformerState:
        """Read the features once; `step` then writes."""
        states, lengths = self.encoder(source, lengths)
        return TransformerState(self.positions(states), Mask.lengths(lengths), len(self.decoder))

    def step(
        self, tokens: Int[Tensor, " batch"], state: TransformerState
    ) -> Float[Tensor, "batch size"]:
        """Return the logits of the next token and advance `state`."""
        logits = self.decode(
            tokens[:, None], state.memory, state.mask, state.caches, offset=state.written
        )
        state.written += 1
        return logits[:, -1]


def ctc_loss(
    logits: Float[Tensor, "batch states size"],
    states: Int[Tensor, " batch"],
    texts: Int[Tensor, "batch tokens"],
    tokens: Int[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Return `-log P(text)` summed over sounds, `P` summed over all ways to spread a text.

    A text that its states have no room for adds nothing.

    Args:
        logits: Of each state.
        states: Of each sound.
        texts: Padded.
        tokens: Of each text.

    Source:
        Graves et al. 2006, ICML, section 4.1.
    """
    return nn.functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        texts,
        states,
        tokens,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
