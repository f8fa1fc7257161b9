"""A Transformer that writes words of its vocabulary and words that it points at in the source."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.models.seq2seq import State
from heedful.models.transformer import Transformer, TransformerState
from heedful.nn.aligners import ScaledDot

LEAST = 1e-10  # so that the logarithm of a probability is a number


class PointerTransformer(nn.Module):
    """`p(w) = g p_vocabulary(w) + (1 - g) (weights of the places where the source has w)`.

    One vocabulary is for both sides. A word of the source that it does not hold has a number from
    `size` on, which says which word it is among those of its text: it is read as unknown, and can
    be pointed at. The share `g` depends on what was attended to, on the decoder's state and on its
    input. The paper has an LSTM on each side and additive scores; here a Transformer reads and
    writes, and one scaled dot product points. `step` writes no pair of words twice, as small models
    otherwise do.

    Args:
        size: Vocabulary.
        unknown: The number that is read for words beyond it; `step` never writes it.
        copying: Is there a pointer? Without it these are the logits of the Transformer.
        settings: Of `heedful.models.Transformer`.

    Raises:
        ConfigError: Settings do not fit together.

    Source:
        See et al. 2017, arXiv:1704.04368, section 2.2, equations 8 and 9.
        Paulus et al. 2017, arXiv:1705.04304 (nothing is written twice; there it is three words).

    Cost:
        Beside the Transformer's, one more head of cross-attention, and probabilities of the
        vocabulary in float32.
    """

    def __init__(self, *, size: int, unknown: int, copying: bool, **settings: Any) -> None:
        super().__init__()
        self.network = Transformer(source_size=size, target_size=size, **settings)
        self.network.source_embedding = self.network.target_embedding
        width = self.network.out.in_features
        self.pointer = (
            ScaledDot(query_width=width, key_width=width, hidden=width) if copying else None
        )
        self.gate = nn.Linear(3 * width, 1) if copying else None
        self.size, self.unknown = size, unknown

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text that it has positions for; `None` means any length."""
        return self.network.longest

    def forward(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries extended_size"]:
        """Return the logits of the token after each target token, words of the source included."""
        memory, mask = self.network.encode(self._read(source), lengths)
        target = self._read(target)
        states = self.network.states(target, memory, mask)
        return self._logits(states, target, memory, mask, source)

    def start(
        self, source: Int[Tensor, "batch keys"], lengths: Int[Tensor, " batch"]
    ) -> "PointerState":
        """Read the source once; `step` then writes."""
        return PointerState(self.network.start(self._read(source), lengths), source)

    def step(
        self, tokens: Int[Tensor, " batch"], state: "PointerState"
    ) -> Float[Tensor, "batch extended_size"]:
        """Return the logits of the next token and advance `state`."""
        inner, target = state.inner, self._read(tokens)[:, None]
        states = self.network.states(
            target, inner.memory, inner.mask, inner.caches, offset=inner.written
        )
        inner.written += 1
        logits = self._logits(states, target, inner.memory, inner.mask, state.source)[:, -1]
        logits[:, self.unknown] = -torch.inf
        # what followed this word before does not follow it again
        earlier, state.written = state.written, torch.cat([state.written, tokens[:, None]], dim=1)
        follows = (earlier == tokens[:, None]).to(logits.dtype)
        barred = torch.zeros_like(logits).scatter_add(1, state.written[:, 1:], follows)
        return logits.masked_fill(barred > 0, -torch.inf)

    def alignment(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries keys"]:
        """Return where each target position points; without a pointer, where it looks."""
        if self.pointer is None:
            return self.network.alignment(self._read(source), lengths, self._read(target))
        memory, mask = self.network.encode(self._read(source), lengths)
        states = self.network.states(self._read(target), memory, mask)
        return self.pointer(states, self.pointer.prepare(memory), mask=mask)

    def _read(self, tokens: Tensor) -> Tensor:
        return torch.where(tokens < self.size, tokens, self.unknown)

    def _logits(
        self, states: Tensor, target: Tensor, memory: Tensor, mask: Mask, source: Tensor
    ) -> Tensor:
        logits = self.network.out(states)
        if self.pointer is None or self.gate is None:
            return logits
        weights = self.pointer(states, self.pointer.prepare(memory), mask=mask)
        context = weights @ memory.to(weights.dtype)
        embedded = self.network.target_embedding(target)
        parts = [part.to(states.dtype) for part in (context, states, embedded)]
        own = self.gate(torch.cat(parts, dim=-1)).float().sigmoid()
        more = torch.sym_max(source.max().item() + 1 - self.size, 0)
        shares = own * logits.float().softmax(-1)
        shares = torch.cat([shares, shares.new_zeros(*shares.shape[:2], more)], dim=-1)
        places = source[:, None].expand(-1, states.shape[1], -1)
        shares = shares.scatter_add(-1, places, (1 - own) * weights.float())
        return (shares + LEAST).log()


class PointerState(State):
    """What the Transformer remembers, the words of the source, and what was written."""

    def __init__(self, inner: TransformerState, source: Tensor) -> None:
        self.inner, self.source = inner, source
        self.written = source[:, :0]

    def select(self, rows: Tensor) -> None:
        self.inner.select(rows)
        self.source = self.source.index_select(0, rows)
        self.written = self.written.index_select(0, rows)
