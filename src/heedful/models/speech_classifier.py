"""A sound and its label: convolutions, self-attention, attention pooling, logits."""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.models.speech_encoder import SpeechEncoder
from heedful.nn.attention import head_dim
from heedful.nn.pooling import AttentionPooling

Pooling = Literal["attention", "mean"]


class SpeechClassifier(nn.Module):
    """Logits of labels from log-mel features: `out(norm(pool(encode(x))))`.

    Args:
        bands: Of the features.
        labels: How many there are.
        pooling: How states become one vector: weighed by attention, or their mean.
        width: Of a state.
        heads: Of every attention.
        dropout: Share dropped of states, of what layers add and of what is pooled.
        settings: Others of `SpeechEncoder`.

    Raises:
        ConfigError: Sizes do not divide, or `pooling` is unknown.

    Source:
        Zhu et al. 2018, "Self-attentive speaker embeddings for text-independent speaker
        verification", Interspeech (attention pooling of the states of a sound).
    """

    def __init__(
        self,
        *,
        bands: int,
        labels: int,
        pooling: Pooling = "attention",
        width: int = 96,
        heads: int = 4,
        dropout: float = 0.1,
        **settings: Any,
    ) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ConfigError(
                f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}"
            )
        head_dim(width=width, heads=heads)
        self.encoder = SpeechEncoder(
            bands=bands, width=width, heads=heads, dropout=dropout, **settings
        )
        pool = AttentionPooling(width=width, heads=heads) if pooling == "attention" else None
        self.pooling = pool
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, labels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, features: Float[Tensor, "batch frames bands"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch labels"]:
        """Return the logits of each sound.

        Args:
            features: Padded with zeros.
            lengths: Frames of each sound.
        """
        states, lengths = self.encoder(features, lengths)
        if self.pooling is not None:
            pooled = self.pooling(states, mask=Mask.lengths(lengths))[:, 0]
        else:
            inside = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
            pooled = (states * inside[..., None]).sum(1) / lengths[:, None].to(states.dtype)
        return self.out(self.dropout(self.norm(pooled)))
