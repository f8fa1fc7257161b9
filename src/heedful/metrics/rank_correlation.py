"""Of two orders: Spearman's rank correlation."""

import numpy as np
from numpy.typing import ArrayLike

from heedful.metrics.metric import Floats


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's correlation: do two lists of numbers put things in the same order?

    Ties share the mean of their ranks; 0 where one of the lists has no order, all of it being the
    same number.

    Args:
        first: A number for each thing.
        second: Another one for each.

    Source:
        Spearman 1904, "The proof and measurement of association between two things".

    Cost:
        Two sorts.
    """
    ranks = np.stack([_ranks(np.asarray(each, float)) for each in (first, second)])
    if ranks.shape[1] < 2 or (np.ptp(ranks, axis=1) == 0).any():
        return 0.0
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.take(np.cumsum(counts) - (counts - 1) / 2, place)
