"""Causal language models: the next token of a text from those before it."""

from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

import heedful.models.recurrent as recurrent
from heedful.mask import Mask
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import EncoderLayer
from heedful.nn.cache import KeyValueCache
from heedful.nn.positions import RotaryPositions


@runtime_checkable
class LanguageModel(Protocol):
    """A model that can go on with a text."""

    @property
    def longest(self) -> int | None:
        """Tokens that it was made to see at once; `None` means any number."""
        ...

    def __call__(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length size"]:
        """Return the logits of the token after each one."""
        ...

    def start(self) -> Any:
        """Return the state before the first token."""
        ...

    def advance(
        self, tokens: Int[Tensor, "batch length"], state: Any
    ) -> Float[Tensor, "batch size"]:
        """Read more tokens into `state` and return the logits of the one after the last."""
        ...


class CausalTransformer(nn.Module):
    """Layers of self-attention in which every token sees those before it, with rotary positions.

    `logits = out(norm(layers(dropout(embed(tokens)))))`, normalised before every sublayer.

    Args:
        size: Vocabulary.
        width: Size of the vectors that flow through.
        heads: Query heads of every attention.
        kv_heads: Key/value heads of every attention. `None` means `heads`.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of embeddings and sublayer outputs in training.
        context: Tokens that it is trained to see at once.

    Raises:
        ConfigError: Sizes do not divide.

    Source:
        Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
        section 3.1 (a decoder alone).
        Su et al. 2021, arXiv:2104.09864, section 3.2.2 (rotary positions).
        Press and Wolf 2016, arXiv:1608.05859, section 3 (tied embeddings).

    Cost:
        All positions of a text at once in training; one step a token in writing, which reads the
        keys and values of those before.
    """

    def __init__(
        self,
        *,
        size: int,
        width: int,
        heads: int,
        kv_heads: int | None,
        layers: int,
        feedforward: int,
        dropout: float,
        context: int,
    ) -> None:
        super().__init__()
        self.embedding = _embedding(size, width)
        positions = partial(RotaryPositions, head_dim(width=width, heads=heads))
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(width=width, heads=heads, kv_heads=kv_heads, positions=positions()),
                width=width,
                feedforward=feedforward,
                norm="pre",
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.out = nn.Linear(width, size, bias=False)
        self.out.weight = self.embedding.weight
        self.scale, self.longest = width**0.5, context

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length size"]:
        return self.out(self._states(tokens, None))

    def start(self) -> list[KeyValueCache]:
        """Return an empty cache for each layer."""
        return [KeyValueCache() for _ in self.layers]

    def advance(
        self, tokens: Int[Tensor, "batch length"], state: list[KeyValueCache]
    ) -> Float[Tensor, "batch size"]:
        """Read more tokens and return the logits of the one after the last."""
        return self.out(self._states(tokens, state)[:, -1])

    def _states(self, tokens: Tensor, caches: list[KeyValueCache] | None) -> Tensor:
        x = self.dropout(self.embedding(tokens) * self.scale)
        for number, layer in enumerate(self.layers):
            cache = None if caches is None else caches[number]
            x = layer(x, mask=Mask.causal(), cache=cache)
        return self.norm(x)


class CausalLstm(nn.Module):
    """An LSTM in place of attention: all that it knows of a text is in one state.

    Args:
        size: Vocabulary.
        width: Size of the embeddings and of the states.
        layers: How many.
        dropout: Share dropped of embeddings and states in training.

    Source:
        Graves 2013, arXiv:1308.0850, sections 2 and 3 (text by characters).
        Press and Wolf 2016, arXiv:1608.05859, section 3 (tied embeddings).

    Cost:
        One step after the other, also in training.
    """

    longest = None

    def __init__(self, *, size: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = _embedding(size, width)
        inner = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=inner)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.out = nn.Linear(width, size, bias=False)
        self.out.weight = self.embedding.weight
        self.scale = width**0.5

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length size"]:
        return self.out(self.norm(self.dropout(self._states(tokens, None)[0])))

    def start(self) -> list[tuple[Tensor, Tensor]]:
        """Return no state."""
        return []

    def advance(
        self, tokens: Int[Tensor, "batch length"], state: list[tuple[Tensor, Tensor]]
    ) -> Float[Tensor, "batch size"]:
        """Read more tokens and return the logits of the one after the last."""
        states, carried = self._states(tokens, state[0] if state else None)
        state[:] = [carried]
        return self.out(self.norm(states[:, -1]))

    def _states(
        self, tokens: Tensor, carried: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = self.dropout(self.embedding(tokens) * self.scale)
        states, last = recurrent.read(self.lstm, x, state=carried)
        return states, cast(tuple[Tensor, Tensor], last)


def _embedding(size: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(size, width)
    nn.init.normal_(embedding.weight, std=width**-0.5)
    return embedding
