"""What an example loses that nobody has seen: what a test cannot tell, and must reckon with."""

import numpy as np

from heedful.errors import DataError
from heedful.metrics.metric import Floats, Metric

# Differing examples after which what was seen weighs as much as the span; see `judge`.
PATIENCE = 20.0


def span_of(before: Floats, after: Floats, *, metric: Metric) -> float:
    """Return the most that one example can lose: the span named, or that of the scores seen.

    An example alone is a test of one: its score lies between the best and the worst seen.

    Args:
        before: Statistics of the original.
        after: Statistics of what it became.
        metric: Makes scores of them.

    Raises:
        DataError: The metric names no span, and the score is 0 on every example, or not finite.
    """
    if metric.span is not None:
        return metric.span
    seen = np.concatenate([metric.alone(before), metric.alone(after)])
    if not np.isfinite(seen).all():
        place = int(np.isfinite(seen).argmin())
        raise DataError(
            f"{metric.name} must be finite on each example alone or its metric name a span, "
            f"got {seen[place]} for example {place % len(before)}"
        )
    # all alike: what is there can be lost
    span = float(np.ptp(seen)) or abs(metric.score(before))
    if not span > 0:
        raise DataError(
            f"{metric.name} must differ between examples or its metric name a span, "
            f"got 0 on all {len(before)} examples"
        )
    return span


def unseen_loss(before: Floats, after: Floats, *, metric: Metric, span: float) -> float:
    """Return what an example loses that is unlike any seen; see `judge`.

    Args:
        before: Statistics of the original.
        after: Statistics of what it became.
        metric: Makes scores of them.
        span: The most that one example can lose.
    """
    differ = (before != after).any(1)
    if not differ.any():
        return span
    changes = np.abs(metric.influence(after, rows=differ) - metric.influence(before, rows=differ))
    largest = float(changes.max())
    if not largest > 0:
        return span
    # as many equally large changes would have the same spread (Kish's effective number)
    effective = float(changes.sum() ** 2 / (changes**2).sum())
    doubt = PATIENCE / (PATIENCE + effective)
    return largest ** (1 - doubt) * max(span, largest) ** doubt
