"""The recurrent encoder-decoder, with any alignment mechanism or none."""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import heedful.models.recurrent as recurrent
from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.models.seq2seq import State
from heedful.nn.aligners import aligner

CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class RnnSeq2Seq(nn.Module):
    """A bidirectional encoder and a decoder that looks back at the encoder's states.

    `h_t = cell(y_{t-1} [, a_{t-1}], h_{t-1})`, `c_t = sum_j weight_tj s_j`,
    `a_t = tanh(W [h_t; c_t])`, `logits_t = out(a_t)`; `[, a_{t-1}]` is input feeding.
    All mechanisms compare with `h_t` (Luong's order); Bahdanau's decoder compares with `h_{t-1}`.
    Without attention `c_t` is the encoder's final state at every step; Cho et al. 2014 show it to
    the cell as well.

    Args:
        source_size: Source vocabulary.
        target_size: Target vocabulary.
        width: Size of the embeddings.
        hidden: Size of each encoder direction and of the decoder.
        cell: `gru` or `lstm`.
        encoder_layers: Bidirectional layers that read.
        attention: A name in `heedful.nn.ALIGNERS`, or `none`.
        dropout: Share dropped of embeddings, encoder states and `a_t` in training.
        teacher_forcing: In training, the chance that a step reads the true token before it and not
            the model's own guess.
        input_feeding: Show each step what the one before attended to.

    Raises:
        ConfigError: `cell` or `attention` is unknown, or `teacher_forcing` is not in [0, 1].

    Source:
        Bahdanau et al. 2014, arXiv:1409.0473, section 3 (bidirectional encoder, alignment).
        Luong et al. 2015, arXiv:1508.04025, sections 3.1 and 3.3 (order, input feeding).
        Cho et al. 2014, arXiv:1406.1078, section 2.2 (no attention).
        Bengio et al. 2015, arXiv:1506.03099, section 2.4 (own guesses; here one coin a step for the
        whole batch).

    Cost:
        One step after the other where a step depends on the one before in more than `h`: input
        feeding, own guesses, location and coverage. Otherwise all target positions at once.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        width: int = 128,
        hidden: int = 192,
        cell: Literal["gru", "lstm"] = "gru",
        encoder_layers: int = 1,
        attention: str = "additive",
        dropout: float = 0.0,
        teacher_forcing: float = 1.0,
        input_feeding: bool = True,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ConfigError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
        if not 0 <= teacher_forcing <= 1:
            raise ConfigError(
                f"teacher_forcing must be at least 0 and at most 1, got {teacher_forcing}"
            )
        self.source_embedding = nn.Embedding(source_size, width)
        self.target_embedding = nn.Embedding(target_size, width)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=0.1)
        states = 2 * hidden
        self.encoder = CELLS[cell](
            width, hidden, encoder_layers, batch_first=True, bidirectional=True
        )
        self.bridge = nn.Linear(states, 2 * hidden if cell == "lstm" else hidden)
        fed = hidden if input_feeding else 0
        self.decoder = CELLS[cell](width + fed, hidden, batch_first=True)
        self.aligner = aligner(attention, query_width=hidden, key_width=states, hidden=hidden)
        self.combine = nn.Linear(hidden + states, hidden)
        self.out = nn.Linear(hidden, target_size)
        self.dropout = nn.Dropout(dropout)
        self.hidden, self.teacher_forcing = hidden, teacher_forcing
        self.input_feeding = input_feeding

    @property
    def longest(self) -> int | None:
        """No text is too long for a recurrent network."""
        return None

    def forward(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries target_size"]:
        """Return the logits of the token after each target token."""
        state = self.start(source, lengths)
        own_guesses = self.training and self.teacher_forcing < 1
        stepwise = self.aligner is not None and self.aligner.stepwise
        if not (own_guesses or stepwise or self.input_feeding):
            return self._advance(target, state)
        outputs: list[Tensor] = []
        for position in range(target.shape[1]):
            tokens = target[:, position : position + 1]
            if own_guesses and outputs and torch.rand(()).item() >= self.teacher_forcing:
                tokens = outputs[-1].argmax(-1)
            outputs.append(self._advance(tokens, state))
        return torch.cat(outputs, dim=1)

    def alignment(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        target: Int[Tensor, "batch queries"],
    ) -> Float[Tensor, "batch queries keys"]:
        """Return how each target position looks at the source.

        Raises:
            ConfigError: The model has no attention.
        """
        if self.aligner is None:
            raise ConfigError("attention must not be none to have an alignment, got none")
        from heedful.probing.probe import probe  # here, since only whoever looks pays for it

        with probe(self, sites="aligner") as p:
            self(source, lengths, target)
        steps = range(len(p.calls("aligner")))
        return torch.cat([p.maps("aligner", call=step)[:, 0] for step in steps], dim=1)

    def start(
        self, source: Int[Tensor, "batch keys"], lengths: Int[Tensor, " batch"]
    ) -> "RnnState":
        """Read the source once; `step` then writes."""
        embedded = self.dropout(self.source_embedding(source))
        states, final = recurrent.read(self.encoder, embedded, lengths)
        last = final[0] if isinstance(final, tuple) else final
        summary = torch.cat([last[-2], last[-1]], dim=-1)  # forward and backward, top layer
        # one part for a GRU, two for an LSTM
        first = self.bridge(summary).tanh()[None].split(self.hidden, dim=-1)
        states = self.dropout(states)
        prepared = states if self.aligner is None else self.aligner.prepare(states)
        return RnnState(
            states=states,
            prepared=prepared,
            lengths=lengths,
            summary=summary,
            hidden=first[0].contiguous(),
            memory=first[1].contiguous() if len(first) == 2 else None,
            fed=summary.new_zeros(source.shape[0], self.hidden) if self.input_feeding else None,
        )

    def step(
        self, tokens: Int[Tensor, " batch"], state: "RnnState"
    ) -> Float[Tensor, "batch target_size"]:
        """Return the logits of the next token and advance `state`."""
        return self._advance(tokens[:, None], state)[:, -1]

    def _advance(self, tokens: Tensor, state: "RnnState") -> Tensor:
        x = self.dropout(self.target_embedding(tokens))
        if state.fed is not None:
            x = torch.cat([x, state.fed[:, None].to(x.dtype)], dim=-1)
        hidden = state.hidden if state.memory is None else (state.hidden, state.memory)
        h, final = recurrent.read(self.decoder, x, state=hidden)
        state.hidden, state.memory = final if isinstance(final, tuple) else (final, None)
        if self.aligner is None:
            context = state.summary[:, None].expand(-1, h.shape[1], -1)
        else:
            weights = self.aligner(
                h, state.prepared, mask=Mask.lengths(state.lengths), history=state.history
            )
            state.history = self.aligner.remember(state.history, weights)
            context = weights @ state.states.to(weights.dtype)
        mixed = self.combine(torch.cat([h, context.to(h.dtype)], dim=-1)).tanh()
        if state.fed is not None:
            state.fed = mixed[:, -1]
        return self.out(self.dropout(mixed))


@dataclass(kw_only=True)
class RnnState(State):
    """The encoder's states and what the decoder carries from step to step."""

    states: Float[Tensor, "batch keys states"]
    prepared: Float[Tensor, "batch keys prepared_width"]
    lengths: Int[Tensor, " batch"]
    summary: Float[Tensor, "batch states"]
    hidden: Float[Tensor, "1 batch hidden"]
    memory: Float[Tensor, "1 batch hidden"] | None = None
    fed: Float[Tensor, "batch hidden"] | None = None
    history: Float[Tensor, "batch keys"] | None = None

    def select(self, rows: Tensor) -> None:
        for field in fields(self):
            tensor = getattr(self, field.name)
            if tensor is not None:
                batch = 1 if field.name in ("hidden", "memory") else 0
                setattr(self, field.name, tensor.index_select(batch, rows))
