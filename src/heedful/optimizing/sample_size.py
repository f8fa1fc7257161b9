"""How many examples can show that a budget is kept, known before any work."""

import numpy as np

from heedful.errors import DataError
from heedful.metrics.metric import Floats, Metric
from heedful.optimizing.budget import Budget
from heedful.optimizing.unseen import span_of
from heedful.optimizing.verdict import CONFIDENCE, examples_needed


def required_examples(
    before: Floats, *, metric: Metric, budget: Budget, confidence: float = CONFIDENCE
) -> int | None:
    """Return how many examples can show that a budget is kept where few differ, but those a lot.

    With fewer a verdict can be had only where many examples change a little and none much; see
    `heedful.optimizing.verdict.judge`. Known before any work, from what the original does.

    Args:
        before: Statistics of the original, of any split.
        metric: Makes scores of them.
        budget: What may be lost.
        confidence: How surely.

    Returns:
        `None` where nobody can say: no loss at all is allowed, or the score is 0 everywhere.
    """
    allowed = budget.allowed(metric.score(before))
    if not allowed or not np.isfinite(allowed):
        return None
    try:
        span = span_of(before, before, metric=metric)
        return examples_needed(allowed, span=span, confidence=confidence)
    except DataError:
        return None
