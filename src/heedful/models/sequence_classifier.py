"""A label for a biological sequence: convolutions, self-attention, one vector, logits."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.models.text_classifier import ConvolutionEncoder, TransformerEncoder
from heedful.nn.pooling import AttentionPooling

Pooling = Literal["attention", "mean", "max"]


class SequenceClassifier(nn.Module):
    """Logits of labels: `out(norm(pool(attend(convolve(letters)))))`.

    A letter that may stand for several others is the mean of them. Where the other strand is read
    too, the larger of the two is taken of each number of what is pooled: so both strands of one
    molecule get the same logits.

    Args:
        codes: What each number of a letter stands for, `(numbers, letters)`: shares that sum to 1,
            or to 0 for padding, which is number 0.
        complement: The number of the letter opposite to each one; `None` reads one strand.
        labels: How many there are.
        width: Size of the vectors.
        convolutions: Layers of them.
        kernel: Letters that a convolution sees at once; odd.
        layers: Of self-attention; 0 for none.
        heads: Of every attention.
        feedforward: Hidden size of the feed-forward parts.
        pooling: What makes one vector of all letters.
        dropout: Share dropped of what layers add.

    Raises:
        ConfigError: Sizes do not divide, `kernel` is even, or `pooling` is unknown.

    Source:
        Alipanahi et al. 2015, Nature Biotechnology 33, 831-838 (convolutions as motif detectors).
        Shrikumar et al. 2017, bioRxiv 103663 (both strands through the same weights).
        Lin et al. 2017, arXiv:1703.03130, section 2.1 (attention pooling).
    """

    codes: Tensor
    complement: Tensor | None

    def __init__(
        self,
        codes: Float[Tensor, "numbers letters"],
        complement: Int[Tensor, " numbers"] | None = None,
        *,
        labels: int,
        width: int = 32,
        convolutions: int = 2,
        kernel: int = 9,
        layers: int = 1,
        heads: int = 4,
        feedforward: int = 64,
        pooling: Pooling = "attention",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            known = ", ".join(get_args(Pooling))
            raise ConfigError(f"pooling must be one of {known}, got {pooling!r}")
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("complement", complement, persistent=False)
        self.embedding = nn.Linear(codes.shape[1], width)
        self.convolutions = ConvolutionEncoder(
            width=width, layers=convolutions, kernel=kernel, dropout=dropout
        )
        self.encoder = None
        if layers:
            self.encoder = TransformerEncoder(
                width=width, heads=heads, layers=layers, feedforward=feedforward, dropout=dropout
            )
        attends = pooling == "attention"
        self.pooling = AttentionPooling(width=width, heads=heads) if attends else None
        self.largest = pooling == "max"
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, labels)

    def forward(
        self, letters: Int[Tensor, "batch length"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch labels"]:
        """Return the logits of each sequence.

        Args:
            letters: Numbers, padded with 0.
            lengths: Letters of each sequence.
        """
        if self.complement is None:
            return self.out(self.norm(self._pooled(letters, lengths)))
        other = self.other_strand(letters, lengths, self.complement)
        both = self._pooled(torch.cat([letters, other]), torch.cat([lengths, lengths]))
        return self.out(self.norm(torch.maximum(*both.chunk(2))))

    @staticmethod
    def other_strand(
        letters: Int[Tensor, "batch length"],
        lengths: Int[Tensor, " batch"],
        complement: Int[Tensor, " numbers"],
    ) -> Int[Tensor, "batch length"]:
        """Return the reverse complement of each sequence, padding behind it."""
        places = torch.arange(letters.shape[1], device=letters.device)
        source = lengths[:, None] - 1 - places
        opposite = complement[letters.gather(1, source.clamp(min=0))]
        return opposite.masked_fill(source < 0, 0)

    def _pooled(self, letters: Tensor, lengths: Tensor) -> Tensor:
        x = self.convolutions(self.embedding(self.codes[letters]), lengths)
        x = x if self.encoder is None else self.encoder(x, lengths)
        if self.pooling is not None:
            return self.pooling(x, mask=Mask.lengths(lengths))[:, 0]
        inside = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]
        if self.largest:
            return x.masked_fill(~inside, -torch.inf).amax(1)
        return (x * inside).sum(1) / lengths[:, None]
