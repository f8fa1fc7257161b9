"""What the mechanisms mean, spelled out: float64 loops in numpy that share no code with the ops.

Every function returns `(weights, output)`. `sees(b, h, i, j)` says whether, in batch row `b` and
head `h`, query `i` sees key `j`. Slow on purpose: nothing here is clever enough to be wrong.
"""

from heedful.testing.oracle._loops import Array, Normalise, Result, Score, Sees, attend
from heedful.testing.oracle.scores import additive, coverage, dot, general, location, scaled_dot

__all__ = [
    "Array",
    "Normalise",
    "Result",
    "Score",
    "Sees",
    "additive",
    "attend",
    "coverage",
    "dot",
    "general",
    "location",
    "scaled_dot",
]
