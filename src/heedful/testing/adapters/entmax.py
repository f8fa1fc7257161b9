"""The `entmax` package: ways to normalise, here around scaled dot products."""

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor

from heedful.mask import Mask
from heedful.testing import oracle
from heedful.testing.adapters._import import needs
from heedful.testing.adapters._lower import lower
from heedful.testing.claim import Claim


def claim_entmax15() -> Claim:
    """`entmax.entmax15`, exact by sorting."""
    with needs("entmax"):
        from entmax import entmax15
    return _claim(entmax15, alpha=1.5)


def claim_entmax_bisect() -> Claim:
    """`entmax.entmax_bisect` at alpha 1.5."""
    with needs("entmax"):
        from entmax import entmax_bisect
    return _claim(partial(entmax_bisect, alpha=1.5), alpha=1.5)


def claim_sparsemax() -> Claim:
    """`entmax.sparsemax`, which is entmax at alpha 2."""
    with needs("entmax"):
        from entmax import sparsemax
    return _claim(sparsemax, alpha=2.0)


def _claim(normalise: Callable[..., Tensor], *, alpha: float) -> Claim:
    def weights(query: Tensor, key: Tensor, *, mask: Mask | None) -> Tensor:
        groups = query.shape[1] // key.shape[1]
        key = key.repeat_interleave(groups, dim=1)
        scores = query @ key.mT / math.sqrt(query.shape[3])
        hidden = lower(mask, query, key, "hide")
        scores = scores if hidden is None else scores.masked_fill(hidden, float("-inf"))
        return normalise(scores, dim=-1)

    def attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None) -> Tensor:
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        return weights(query, key, mask=mask) @ value

    of_rows = partial(oracle.entmax, alpha=alpha)
    return Claim(attention=attention, weights=weights, oracle=of_rows, inferred=True)
