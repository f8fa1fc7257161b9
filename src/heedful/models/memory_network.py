"""A question about sentences: a memory network looks at them in several hops, then answers."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.models.hierarchical_attention import MeanPooling, grouped
from heedful.nn.attention import Attention
from heedful.nn.blocks import FeedForward

INITIAL = 0.1  # spread of embeddings


class MemoryNetwork(nn.Module):
    """Logits of answers: `out(u + feedforward(u))` of the last state `u` of `hops` looks.

    The first state is the question, and each next one is `u_k+1 = u_k + hop_k(u_k, m_k)`.

    Sentences and question are sums of their words' vectors, weighted by where a word stands. A
    memory of hop `k` is a sentence and how many sentences ago it was, by embeddings of that hop
    alone, as the question has one. A hop is attention from the state to the memories: what the
    paper embeds as input and as output memory are its keys and values here, projections of one
    embedding, a hop may have heads, and what compares, such as whether two places are one, is left
    to a feed-forward part behind the last hop.

    Training begins without softmax: as long as `linear` is true a hop sums memories by their scores
    as they are. It finds hops that depend on each other where softmax would soon settle on one.

    Args:
        size: Vocabulary; token 0 is padding.
        answers: How many there are.
        width: Size of the vectors.
        heads: Of every hop.
        hops: Looks at the memories.
        times: Sentences ago that are told apart; what is older counts as the oldest.
        attention: Look? Else take the mean of all memories.
        dropout: Share dropped of words' vectors, and of what a hop adds.

    Attributes:
        linear: Train without softmax? Answers always have it.

    Raises:
        ConfigError: `heads` does not divide `width`.

    Source:
        Sukhbaatar et al. 2015, arXiv:1503.08895, sections 2 and 4.1 (position encoding, temporal
        encoding), section 4.2 (linear start).
    """

    def __init__(
        self,
        size: int,
        *,
        answers: int,
        width: int,
        heads: int,
        hops: int,
        times: int,
        attention: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.asked = _table(size, width, padding=0)
        self.told = nn.ModuleList(_table(size, width, padding=0) for _ in range(hops))
        self.times = nn.ModuleList(_table(times, width) for _ in range(hops))
        self.oldest = times - 1
        self.hops = nn.ModuleList(
            Attention(width=width, heads=heads) if attention else MeanPooling(width)
            for _ in range(hops)
        )
        self.linear = False
        self.dropout = nn.Dropout(dropout)
        self.readout = FeedForward(width, hidden=2 * width)
        self.out = nn.Linear(width, answers)

    def forward(
        self,
        sentences: Int[Tensor, "sentences words"],
        lengths: Int[Tensor, " sentences"],
        ago: Int[Tensor, " sentences"],
        counts: Int[Tensor, " batch"],
        question: Int[Tensor, "batch asked"],
        question_lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch answers"]:
        """Return the logits of each question's answers.

        Args:
            sentences: Of all questions, those of a question one after the other; padded with 0.
            lengths: Words of each sentence.
            ago: How many sentences ago each one was; 0 is the last.
            counts: Sentences of each question.
            question: Padded with 0.
            question_lengths: Words of each question.
        """
        state = self._read(self.asked, question, question_lengths)
        linear = self.training and self.linear
        for hop, told, times in zip(self.hops, self.told, self.times, strict=True):
            when = times(ago.clamp(max=self.oldest))
            memories = grouped(self._read(told, sentences, lengths) + when, counts)
            seen = self._sum(hop, state, memories, counts) if linear else None
            seen = self._look(hop, state, memories, counts) if seen is None else seen
            state = state + self.dropout(seen)
        return self.out(state + self.dropout(self.readout(state)))

    def _sum(
        self, hop: Any, state: Tensor, memories: Tensor, counts: Tensor
    ) -> Float[Tensor, "batch width"] | None:
        """What attention would see if its weights were the scores; `None` of a mean."""
        if not isinstance(hop, Attention):
            return None
        query, key, value = (
            linear(x).unflatten(-1, (hop.heads, -1)).transpose(1, 2)
            for linear, x in (
                (hop.query, state[:, None]),
                (hop.key, memories),
                (hop.value, memories),
            )
        )
        inside = torch.arange(memories.shape[1], device=memories.device) < counts[:, None]
        scores = (query @ key.mT) * hop.dim**-0.5 * inside[:, None, None]
        return hop.out((scores @ value).transpose(1, 2).flatten(2))[:, 0]

    def _look(
        self, hop: Any, state: Tensor, memories: Tensor, counts: Tensor
    ) -> Float[Tensor, "batch width"]:
        if isinstance(hop, MeanPooling):
            return hop(memories, lengths=counts)
        return hop(state[:, None], memories, mask=Mask.lengths(counts))[:, 0]

    def _read(
        self, embedding: nn.Module, words: Tensor, lengths: Tensor
    ) -> Float[Tensor, "texts width"]:
        """Sums of vectors; word `j` of `J` weighs `(1 - j / J) - (k / d)(1 - 2 j / J)` at `k`."""
        vectors = self.dropout(embedding(words))
        width, share = vectors.shape[2], torch.arange(1, words.shape[1] + 1, device=words.device)
        share = share / lengths[:, None]
        weights = torch.stack([1 - share, 1 - 2 * share], 1).to(vectors.dtype)
        first, second = (weights @ vectors).unbind(1)
        places = torch.arange(1, width + 1, device=words.device) / width
        return first - places.to(vectors.dtype) * second


def _table(size: int, width: int, *, padding: int | None = None) -> nn.Embedding:
    """Vectors, of which that of padding is 0."""
    table = nn.Embedding(size, width, padding_idx=padding)
    nn.init.normal_(table.weight, std=INITIAL)
    if padding is not None:
        with torch.no_grad():
            table.weight[padding] = 0
    return table
