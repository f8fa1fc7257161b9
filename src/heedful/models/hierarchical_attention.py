"""Documents of several texts and their labels: words are pooled to texts, texts to a document."""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.listeners import compiling
from heedful.mask import Mask
from heedful.models.text_classifier import ENCODERS, NgramEmbedding
from heedful.nn.pooling import AttentionPooling


class MeanPooling(nn.Module):
    """`linear(mean)`: what attention pooling is where every position weighs as much.

    Args:
        width: Size of the vectors.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch length width"], *, lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        return self.out((x * inside[..., None]).sum(1) / lengths[:, None].to(x.dtype))


class HierarchicalAttention(nn.Module):
    """Logits of labels: `out(norm(pool(norm(pool(encode(x))))))`.

    The inner pooling is over the words of each text, the outer one over the texts. Unlike in the
    paper no recurrent layer runs over the texts, for reviews have no order, and pooling has several
    heads. With `direct`, `linear(sum_j x_j / sqrt(n))` is added, of the embeddings of all `n`
    words: what a linear model of n-grams says, so that from few examples less is left to learn. It
    makes attention look less at the words that count, for they have been heard already.

    Args:
        embedding: Of tokens and n-grams.
        encoder: Called with `x` and `lengths`; `None` pools the embeddings themselves.
        labels: How many there are.
        width: Size of the vectors.
        heads: Of both poolings.
        attention: Pool by attention? Else as a mean.
        direct: Add what a linear model of the embeddings says?
        dropout: Share dropped of embeddings, states and what is pooled.

    Raises:
        ConfigError: `heads` does not divide `width`.

    Source:
        Yang et al. 2016, NAACL, N16-1174, section 2.2 (word and sentence attention).
        Cheng et al. 2016, arXiv:1606.07792, section 3 (a wide and a deep part, added up).
    """

    def __init__(
        self,
        embedding: NgramEmbedding,
        encoder: nn.Module | None,
        *,
        labels: int,
        width: int,
        heads: int,
        attention: bool = True,
        direct: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        pooling = partial(AttentionPooling, width=width, heads=heads, squash=True)
        self.embedding, self.encoder, self.attention = embedding, encoder, attention
        self.words = pooling() if attention else MeanPooling(width)
        self.texts = pooling() if attention else MeanPooling(width)
        self.text_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.out = nn.Linear(width, labels)
        self.direct = nn.Linear(width, labels, bias=False) if direct else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Int[Tensor, "texts length"],
        ngrams: Int[Tensor, "texts length kinds"],
        lengths: Int[Tensor, " texts"],
        counts: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch labels"]:
        """Return the logits of each document.

        Args:
            tokens: Of all texts, those of a document one after the other; padded with 0.
            ngrams: Numbers of the n-grams that begin at each token, 0 where none is known.
            lengths: Tokens of each text.
            counts: Texts of each document.
        """
        x = self.dropout(self.embedding(tokens, ngrams))
        states = x if self.encoder is None else self.dropout(self.encoder(x, lengths))
        texts = self.dropout(self.text_norm(self._pool(self.words, states, lengths)))
        document = self._pool(self.texts, grouped(texts, counts), counts)
        logits = self.out(self.dropout(self.norm(document)))
        if self.direct is None:
            return logits
        sums = grouped(x.sum(1), counts).sum(1)
        words = grouped(lengths[:, None].to(x.dtype), counts).sum(1)
        return logits + self.direct(sums / words.sqrt())

    def _pool(self, pooling: nn.Module, x: Tensor, lengths: Tensor) -> Float[Tensor, "rows width"]:
        if isinstance(pooling, MeanPooling):
            return pooling(x, lengths=lengths)
        return pooling(x, mask=Mask.lengths(lengths))[:, 0]


def build_hierarchical(
    encoder: str,
    *,
    size: int,
    ngrams: int,
    labels: int,
    unknown: int,
    width: int,
    heads: int,
    **settings: Any,
) -> HierarchicalAttention:
    """Make a network from plain settings.

    Args:
        encoder: `none`, `lstm`, `cnn` or `transformer`.
        size: Vocabulary.
        ngrams: Numbers of n-grams.
        labels: How many there are.
        unknown: The token that stands for those that are dropped.
        width: Size of the vectors.
        heads: Of both poolings, and of a Transformer.
        settings: `attention`, `direct`, `layers`, `dropout`, `token_dropout`, `ngram_dropout`.

    Raises:
        ConfigError: `encoder` is unknown, or settings do not fit each other.
    """
    if encoder != "none" and encoder not in ENCODERS:
        raise ConfigError(f"encoder must be one of none, {', '.join(ENCODERS)}, got {encoder!r}")
    shares = {key: settings.pop(key) for key in ("token_dropout", "ngram_dropout")}
    layers, dropout = settings.pop("layers"), settings["dropout"]
    own: dict[str, Any] = {
        "cnn": {"kernel": 5},
        "transformer": {"heads": heads, "feedforward": 2 * width},
    }.get(encoder, {})
    return HierarchicalAttention(
        NgramEmbedding(size, ngrams=ngrams, width=width, unknown=unknown, **shares),
        None
        if encoder == "none"
        else ENCODERS[encoder](width=width, layers=layers, dropout=dropout, **own),
        labels=labels,
        width=width,
        heads=heads,
        **settings,
    )


def grouped(
    rows: Float[Tensor, "texts width"], counts: Int[Tensor, " batch"]
) -> Float[Tensor, "batch most width"]:
    """Return the rows of each document, filled up with zeros."""
    # no graph knows the largest count: there is room for all texts in every document
    most = rows.shape[0] if compiling() else int(counts.max())
    place = torch.arange(most, device=rows.device)
    inside = place < counts[:, None]
    index = torch.where(inside, (counts.cumsum(0) - counts)[:, None] + place, 0)
    return rows[index] * inside[..., None].to(rows.dtype)
