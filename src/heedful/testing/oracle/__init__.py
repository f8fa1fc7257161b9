"""What the mechanisms mean, spelled out: float64 loops in numpy that share no code with the ops.

Every function here returns `(weights, output)`. `sees(b, h, i, j)` says whether, in batch row `b`
and head `h`, query `i` sees key `j`. Slow on purpose: nothing is clever enough to be wrong. The
modules `co`, `fusion`, `statistics` and `vision` hold the oracles of other things than mechanisms.
"""

from heedful.testing.oracle._loops import Array, Normalise, Result, Score, Sees, attend
from heedful.testing.oracle.blocks import block_sparse, blockwise
from heedful.testing.oracle.cheaper import linformer, low_rank, nystrom, reformer
from heedful.testing.oracle.feature_maps import hedgehog, linear, performer
from heedful.testing.oracle.heads import differential, talking_heads
from heedful.testing.oracle.normalisers import (
    entmax,
    scalable,
    sigmoid,
    sink,
    sparsemax,
    temperature,
    top_k,
)
from heedful.testing.oracle.reach import adaptive_span, neighbourhood, transformer_xl, window
from heedful.testing.oracle.scores import additive, coverage, dot, general, location, scaled_dot
from heedful.testing.oracle.scoring import concat, cosine

__all__ = [
    "Array",
    "Normalise",
    "Result",
    "Score",
    "Sees",
    "adaptive_span",
    "additive",
    "attend",
    "block_sparse",
    "blockwise",
    "concat",
    "cosine",
    "coverage",
    "differential",
    "dot",
    "entmax",
    "general",
    "hedgehog",
    "linear",
    "linformer",
    "location",
    "low_rank",
    "neighbourhood",
    "nystrom",
    "performer",
    "reformer",
    "scalable",
    "scaled_dot",
    "sigmoid",
    "sink",
    "sparsemax",
    "talking_heads",
    "temperature",
    "top_k",
    "transformer_xl",
    "window",
]
