"""Modules with parameters: projections around the pure functions of `heedful.ops`."""

from heedful.nn.aligners import ALIGNERS
from heedful.nn.attention import Attention
from heedful.nn.blocks import DecoderLayer, EncoderLayer, FeedForward, Residual
from heedful.nn.cache import KeyValueCache
from heedful.nn.positions import (
    LearnedPositions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)

__all__ = [
    "ALIGNERS",
    "Attention",
    "DecoderLayer",
    "EncoderLayer",
    "FeedForward",
    "KeyValueCache",
    "LearnedPositions",
    "RelativePositions",
    "Residual",
    "RotaryPositions",
    "SinusoidalPositions",
]
