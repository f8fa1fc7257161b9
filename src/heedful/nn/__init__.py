"""Modules with parameters: projections around the pure functions of `heedful.ops`.

Further families have packages of their own: `mechanisms` (what `Attention` mixes positions with),
`co` (two texts), `fusion` (with convolution and recurrence) and `vision` (images).
"""

from typing import TYPE_CHECKING, Any

from heedful.nn.aligners import ALIGNERS
from heedful.nn.attention import Attention
from heedful.nn.attention_gate import AttentionGate
from heedful.nn.blocks import DecoderLayer, EncoderLayer, FeedForward, Residual
from heedful.nn.cache import KeyValueCache
from heedful.nn.compact import widen
from heedful.nn.constant import Constant
from heedful.nn.gated import GatedAttention
from heedful.nn.latent import LatentAttention, LatentCache
from heedful.nn.low_precision import LowPrecisionLinear
from heedful.nn.mechanisms.base import Mechanism
from heedful.nn.mixture import MixtureAttention
from heedful.nn.pooling import AttentionPooling
from heedful.nn.positions import (
    AlibiPositions,
    LearnedPositions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)
from heedful.nn.token_merging import Matching, match_tokens, proportional
from heedful.nn.transformer_xl import TransformerXLAttention

if TYPE_CHECKING:
    from heedful.nn.mechanisms import MECHANISMS

__all__ = [  # noqa: RUF022 (every list of names is in plain order)
    "ALIGNERS",
    "AlibiPositions",
    "Attention",
    "AttentionGate",
    "AttentionPooling",
    "Constant",
    "DecoderLayer",
    "EncoderLayer",
    "FeedForward",
    "GatedAttention",
    "KeyValueCache",
    "LatentAttention",
    "LatentCache",
    "LearnedPositions",
    "LowPrecisionLinear",
    "MECHANISMS",
    "Matching",
    "Mechanism",
    "MixtureAttention",
    "RelativePositions",
    "Residual",
    "RotaryPositions",
    "SinusoidalPositions",
    "TransformerXLAttention",
    "match_tokens",
    "proportional",
    "widen",
]


def __getattr__(name: str) -> Any:
    if name != "MECHANISMS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from heedful.nn.mechanisms import MECHANISMS  # here: a model loads what it uses, not all

    return MECHANISMS
