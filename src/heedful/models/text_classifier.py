"""A text and its label: embedded n-grams, an encoder or none, attention pooling, logits."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import heedful.models.recurrent as recurrent
from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import EncoderLayer
from heedful.nn.mechanisms.additive import Additive
from heedful.nn.pooling import AttentionPooling
from heedful.nn.positions import RotaryPositions

Score = Literal["scaled_dot", "additive"]


class NgramEmbedding(nn.Module):
    """Embed each token as the sum of its own vector and those of the n-grams that begin with it.

    N-grams begin at zero, so that one which training never meets says nothing.

    Args:
        size: Vocabulary; token 0 is padding.
        ngrams: Numbers of n-grams; 0 is one that is not known.
        width: Size of the vectors.
        unknown: The token that stands for those that are dropped.
        token_dropout: Share of tokens that are dropped in training.
        ngram_dropout: Share of n-grams that are dropped in training.

    Raises:
        ConfigError: A share is not in [0, 1).

    Source:
        Bojanowski et al. 2016, arXiv:1607.04606, section 3.2.
        Iyyer et al. 2015, ACL, P15-1162, section 3.2 (whole tokens dropped).
    """

    def __init__(
        self,
        size: int,
        *,
        ngrams: int,
        width: int,
        unknown: int,
        token_dropout: float = 0.0,
        ngram_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        shares = {"token_dropout": token_dropout, "ngram_dropout": ngram_dropout}
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, got {share}")
        self.tokens = nn.Embedding(size, width, padding_idx=0)
        self.ngrams = nn.Embedding(ngrams, width, padding_idx=0)
        nn.init.normal_(self.tokens.weight, std=0.1)
        nn.init.zeros_(self.ngrams.weight)
        with torch.no_grad():
            self.tokens.weight[0] = 0
        self.unknown = unknown
        self.token_dropout, self.ngram_dropout = token_dropout, ngram_dropout

    def forward(
        self, tokens: Int[Tensor, "batch length"], ngrams: Int[Tensor, "batch length kinds"]
    ) -> Float[Tensor, "batch length width"]:
        if self.training:
            dropped = _drawn(tokens, self.token_dropout) & (tokens != 0)
            tokens = tokens.masked_fill(dropped, self.unknown)
            ngrams = ngrams.masked_fill(_drawn(ngrams, self.ngram_dropout), 0)
        return self.tokens(tokens) + self.ngrams(ngrams).sum(2)


class LstmEncoder(nn.Module):
    """`x + dropout(lstm(x))`, with half of the width for each direction.

    Args:
        width: Size of the vectors; even.
        layers: Bidirectional layers.
        dropout: Share dropped of what is added.

    Raises:
        ConfigError: `width` is odd.

    Source:
        Graves and Schmidhuber 2005, Neural Networks 18, section 2.2 (two directions).
    """

    def __init__(self, *, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        if width % 2:
            raise ConfigError(f"width must be even for two directions, got {width}")
        self.lstm = nn.LSTM(width, width // 2, layers, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch length width"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch length width"]:
        states, _ = recurrent.read(self.lstm, x, lengths)
        return x + self.dropout(states)


class TransformerEncoder(nn.Module):
    """Layers of self-attention and feed-forward, normalised before each, with rotary positions.

    Args:
        width: Size of the vectors.
        heads: Of every attention; an even number of dimensions for each.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of what sublayers add.

    Raises:
        ConfigError: `heads` does not divide `width` into even parts.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.1, "Encoder".
    """

    def __init__(
        self, *, width: int, heads: int, layers: int, feedforward: int, dropout: float
    ) -> None:
        super().__init__()
        positions = partial(RotaryPositions, head_dim(width=width, heads=heads))
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(width=width, heads=heads, positions=positions()),
                width=width,
                feedforward=feedforward,
                norm="pre",
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch length width"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch length width"]:
        mask = Mask.lengths(lengths)
        for layer in self.layers:
            x = layer(x, mask=mask)
        return self.norm(x)


class ConvolutionEncoder(nn.Module):
    """Layers of `x + dropout(relu(convolution(x)))`; beyond the text everything is zero.

    Args:
        width: Size of the vectors.
        layers: How many.
        kernel: Tokens that a convolution sees at once; odd.
        dropout: Share dropped of what a layer adds.

    Raises:
        ConfigError: `kernel` is even.

    Source:
        Kim 2014, arXiv:1408.5882, section 2 (convolutions over words).
    """

    def __init__(self, *, width: int, layers: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd, got {kernel}")
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch length width"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch length width"]:
        inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        x = x * inside[..., None]
        for convolution in self.convolutions:
            added = convolution(x.transpose(1, 2)).transpose(1, 2).relu()
            x = (x + self.dropout(added)) * inside[..., None]
        return x


ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "lstm": LstmEncoder,
    "transformer": TransformerEncoder,
    "cnn": ConvolutionEncoder,
}


class TextClassifier(nn.Module):
    """Logits of labels: `out(norm(pool(encode(x)))) + direct(sum_j x_j / sqrt(length))`.

    The second term reads the embeddings themselves, as a linear model of n-grams does, so that the
    first one has to learn only what is left.

    Args:
        embedding: Of tokens and n-grams.
        encoder: Called with `x` and `lengths`; `None` pools the embeddings themselves.
        labels: How many there are.
        width: Size of the vectors.
        heads: Of the pooling.
        score: By what the pooling weighs tokens.
        dropout: Share dropped of embeddings, states and what is pooled.

    Raises:
        ConfigError: `heads` does not divide `width`, or `score` is unknown.

    Source:
        Lin et al. 2017, arXiv:1703.03130, section 2.1 (bidirectional LSTM, attention pooling).
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
        score: Score = "scaled_dot",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if score not in get_args(Score):
            raise ConfigError(f"score must be one of {', '.join(get_args(Score))}, got {score!r}")
        dim = head_dim(width=width, heads=heads)
        mechanism = Additive(heads=heads, dim=dim) if score == "additive" else None
        self.embedding, self.encoder = embedding, encoder
        self.pooling = AttentionPooling(width=width, heads=heads, mechanism=mechanism)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, labels)
        self.direct = nn.Linear(width, labels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        ngrams: Int[Tensor, "batch length kinds"],
        lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch labels"]:
        """Return the logits of each text.

        Args:
            tokens: Padded with 0.
            ngrams: Numbers of the n-grams that begin at each token, 0 where none is known.
            lengths: Tokens of each text.
        """
        x = self.dropout(self.embedding(tokens, ngrams))
        states = x if self.encoder is None else self.dropout(self.encoder(x, lengths))
        pooled = self.pooling(states, mask=Mask.lengths(lengths))[:, 0]
        whole = x.sum(1) / lengths[:, None].to(x.dtype).sqrt()
        return self.out(self.dropout(self.norm(pooled))) + self.direct(whole)


def build_classifier(
    name: str, *, size: int, ngrams: int, labels: int, unknown: int, **settings: Any
) -> TextClassifier:
    """Make a classifier from plain settings.

    Args:
        name: `pooling`, or the encoder: `lstm`, `transformer`, `cnn`.
        size: Vocabulary.
        ngrams: Numbers of n-grams.
        labels: How many there are.
        unknown: The token that stands for those that are dropped.
        settings: Of the embedding, the encoder and the pooling.

    Raises:
        ConfigError: `name` is unknown, or settings do not fit each other.
    """
    if name != "pooling" and name not in ENCODERS:
        raise ConfigError(f"name must be one of pooling, {', '.join(ENCODERS)}, got {name!r}")
    width, heads, score, dropout = (
        settings.pop(key) for key in ("width", "heads", "score", "dropout")
    )
    shares = {key: settings.pop(key) for key in ("token_dropout", "ngram_dropout")}
    encoder = None
    if name == "transformer":
        settings["heads"] = heads
    if name != "pooling":
        encoder = ENCODERS[name](width=width, dropout=dropout, **settings)
    return TextClassifier(
        NgramEmbedding(size, ngrams=ngrams, width=width, unknown=unknown, **shares),
        encoder,
        labels=labels,
        width=width,
        heads=heads,
        score=score,
        dropout=dropout,
    )


def _drawn(like: Tensor, share: float) -> Tensor:
    return torch.rand(like.shape, device=like.device) < share
