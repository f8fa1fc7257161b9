"""A question about a text: two-way attention between them, and where in the text the answer is."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.models.text_classifier import LstmEncoder, TransformerEncoder
from heedful.nn.co.bidaf import BidafAttention

HIDDEN = -1e4  # logit of a place that is not there


class Span(NamedTuple):
    """Logits of where an answer begins and of where it ends."""

    start: Float[Tensor, "batch length"]
    end: Float[Tensor, "batch length"]


class SpanReader(nn.Module):
    """Logits of the first and of the last word of an answer, for every word of a text.

    A bidirectional LSTM reads text and question, two-way attention joins them, and an encoder reads
    what came out. Unlike in the paper that encoder is a Transformer, there are no embeddings of
    characters, and nothing is pretrained.

    Args:
        size: Vocabulary; token 0 is padding.
        width: Size of the vectors.
        heads: Of the encoder.
        layers: Of the encoder.
        attention: Join by attention? Else by the means of text and question.
        dropout: Share dropped of embeddings and states.

    Raises:
        ConfigError: `heads` does not divide `width` into even parts, or `width` is odd.

    Source:
        Seo et al. 2016, arXiv:1611.01603, section 2.
        Yu et al. 2018, arXiv:1804.09541, section 2.1 (self-attention in the place of recurrence).
    """

    def __init__(
        self,
        size: int,
        *,
        width: int,
        heads: int,
        layers: int,
        attention: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width, padding_idx=0)
        self.reader = LstmEncoder(width=width, layers=1, dropout=dropout)
        self.flow = BidafAttention(width=width) if attention else None
        self.join = nn.Linear(4 * width, width)
        self.encoder = TransformerEncoder(
            width=width, heads=heads, layers=layers, feedforward=2 * width, dropout=dropout
        )
        self.ends = nn.Linear(width, 2)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        text: Int[Tensor, "batch length"],
        lengths: Int[Tensor, " batch"],
        question: Int[Tensor, "batch asked"],
        question_lengths: Int[Tensor, " batch"],
    ) -> Span:
        """Return the logits; a place behind the end of its text has -10,000.

        Args:
            text: Padded with 0.
            lengths: Words of each text.
            question: Padded with 0.
            question_lengths: Words of each question.
        """
        read, asked = self._read(text, lengths), self._read(question, question_lengths)
        joined = self._joined(read, lengths, asked, question_lengths)
        states = self.encoder(self.dropout(self.join(joined).relu()), lengths)
        inside = torch.arange(text.shape[1], device=text.device) < lengths[:, None]
        logits = self.ends(self.dropout(states)).masked_fill(~inside[..., None], HIDDEN)
        return Span(*logits.unbind(2))

    def looked_at(
        self,
        text: Int[Tensor, "batch length"],
        lengths: Int[Tensor, " batch"],
        question: Int[Tensor, "batch asked"],
        question_lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch length asked"] | None:
        """Return how much each word of the text looks at each one of the question, if at all."""
        if self.flow is None:
            return None
        read, asked = self._read(text, lengths), self._read(question, question_lengths)
        masks = {
            "context_mask": Mask.lengths(lengths),
            "query_mask": Mask.lengths(question_lengths),
        }
        return self.flow(read, asked, **masks).query_weights

    def _read(self, words: Tensor, lengths: Tensor) -> Float[Tensor, "batch length width"]:
        return self.reader(self.dropout(self.embedding(words)), lengths)

    def _joined(
        self, read: Tensor, lengths: Tensor, asked: Tensor, question_lengths: Tensor
    ) -> Float[Tensor, "batch length four_widths"]:
        if self.flow is not None:
            masks = {
                "context_mask": Mask.lengths(lengths),
                "query_mask": Mask.lengths(question_lengths),
            }
            return self.flow(read, asked, **masks).output
        seen = _mean(asked, question_lengths).expand_as(read)
        most = _mean(read, lengths)
        return torch.cat([read, seen, read * seen, read * most], dim=2)


def best_spans(
    start: Float[Tensor, "batch length"], end: Float[Tensor, "batch length"], *, longest: int
) -> list[tuple[tuple[int, ...], float]]:
    """Return the first and the last place of each span, and the product of their shares.

    Args:
        start: Logits of beginnings.
        end: Logits of ends, which are never before them.
        longest: Places that a span has at most.
    """
    starts, ends = start.softmax(-1), end.softmax(-1)
    length = starts.shape[1]
    joint = starts[:, :, None] * ends[:, None]
    joint = joint.triu().tril(longest - 1)
    shares, best = joint.flatten(1).max(1)
    return [
        ((number // length, number % length), share)
        for number, share in zip(best.tolist(), shares.tolist(), strict=True)
    ]


def _mean(x: Tensor, lengths: Tensor) -> Float[Tensor, "batch 1 width"]:
    inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return (x * inside[..., None]).sum(1, keepdim=True) / lengths[:, None, None].to(x.dtype)
