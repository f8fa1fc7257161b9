"""Scores with 95 % intervals, in memory that does not grow with the examples."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from heedful.errors import DataError
from heedful.metrics.metric import CELLS, Floats, Metric

RESAMPLES = 1_000
FEWEST = 10  # right or wrong examples, from which on a bootstrap knows the interval of a share
MULTINOMIAL = 10_000  # examples, above which drawing one by one is so much faster than counts
TAIL = 0.025
QUANTILE = 1.959963984540054  # of the normal distribution at 1 - TAIL


class Estimate(NamedTuple):
    """A score and its 95 % interval."""

    score: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


def estimates(
    pairs: Sequence[tuple[Metric, Floats]], *, seed: int = 0, count: int = RESAMPLES
) -> list[Estimate]:
    """Return scores with 95 % intervals, from bootstrap resamples of the examples.

    An interval is the middle 95 % of the scores of resamples. Two cases differ, because there a
    bootstrap would promise too much. Of a share (`Metric.share`) with fewer than 10 right or fewer
    than 10 wrong examples it is Wilson's interval: all of 40 right is not 100 to 100, but 91 to
    100. And of any metric that says its range (`span` and `floor`), where the score is an end of
    the range in all resamples, it is Wilson's for as many examples, all right or all wrong.

    Around a distance (`Metric.distance`) it is as wide as the middle 95 % and centred on the score:
    repeated examples make all resamples too far away. It says where the distance of as many other
    examples lies, not where that of endlessly many does, which is smaller.

    Resamples in which a metric has no score, e.g. an area under the curve without any positive
    example, are left out.

    Args:
        pairs: Metrics with their statistics, of the same examples: the draws are the same for all.
        seed: Of the draws.
        count: Resamples.

    Raises:
        DataError: There are no examples, or not as many for all metrics, or a score is not finite.

    Source:
        Koehn 2004, "Statistical significance tests for machine translation evaluation", section 3.
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Cost:
        `count x examples` counts are drawn, a part of them held at a time.
    """
    examples = _examples(pairs)
    scores = [metric.score(statistics) for metric, statistics in pairs]
    for (metric, _), score in zip(pairs, scores, strict=True):
        if not math.isfinite(score):
            raise DataError(
                f"{metric.name} must be a finite number on {examples} examples, got {score}"
            )
    drawn: list[list[Floats]] = [[] for _ in pairs]
    for weights in resamples(examples, seed=seed, count=count):
        for (metric, statistics), found in zip(pairs, drawn, strict=True):
            found.append(metric.scores(statistics, weights=weights))
    return [
        Estimate(score, *_interval(metric, score, np.concatenate(found), examples))
        for (metric, _), score, found in zip(pairs, scores, drawn, strict=True)
    ]


def estimate(
    metric: Metric, statistics: Floats, *, seed: int = 0, count: int = RESAMPLES
) -> Estimate:
    """Return a score with its 95 % interval; see `estimates`.

    Args:
        metric: Makes a score of statistics.
        statistics: One row an example.
        seed: Of the draws.
        count: Resamples.
    """
    return estimates([(metric, statistics)], seed=seed, count=count)[0]


def resamples(examples: int, *, seed: int, count: int = RESAMPLES) -> Iterator[Floats]:
    """Yield how often each example is drawn, a block `(draws, examples)` of resamples at a time.

    Up to 10,000 examples the blocks together are one draw of a multinomial distribution: how it
    is cut into blocks changes no number.

    Args:
        examples: How many there are, and how many are drawn.
        seed: Of the draws.
        count: Resamples in all.
    """
    random = np.random.default_rng(seed)
    rows = max(1, CELLS // examples)
    for start in range(0, count, rows):
        draws = min(rows, count - start)
        if examples <= MULTINOMIAL:
            shares = np.full(examples, 1 / examples)
            yield random.multinomial(examples, shares, size=draws).astype(float)
        else:
            chosen = (random.integers(examples, size=examples) for _ in range(draws))
            counts = [np.bincount(rows, minlength=examples) for rows in chosen]
            yield np.stack(counts).astype(float)


def wilson(right: float, examples: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, from 0 to 1.

    Args:
        right: How many examples are right; it need not be whole.
        examples: How many there are.

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    share, square = right / examples, QUANTILE**2 / examples
    middle = (share + square / 2) / (1 + square)
    spread = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    low = middle - spread if right > 0 else 0.0
    high = middle + spread if right < examples else 1.0
    return low, high


def _interval(metric: Metric, score: float, drawn: Floats, examples: int) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if metric.span is not None and metric.floor is not None:
        right = examples * min(max((score - metric.floor) / metric.span, 0.0), 1.0)
        # rounding must not decide whether none is wrong
        right = float(round(right)) if metric.share else right
        few = metric.share and min(right, examples - right) < FEWEST
        alike = right in (0, examples) and bool((drawn == score).all())
        if few or alike:
            low, high = wilson(right, examples)
            return metric.floor + metric.span * low, metric.floor + metric.span * high
    if not drawn.size:
        return -math.inf, math.inf
    low, high = np.quantile(drawn, (TAIL, 1 - TAIL))
    if metric.distance:
        beside = float(drawn.mean()) - score
        return max(0.0, float(low) - beside), float(high) - beside
    return float(low), float(high)


def _examples(pairs: Sequence[tuple[Metric, Floats]]) -> int:
    counts = {len(statistics) for _, statistics in pairs} or {0}
    if len(counts) > 1:
        found = ", ".join(f"{len(statistics)} of {metric.name}" for metric, statistics in pairs)
        raise DataError(f"all metrics must be of the same examples, got {found}")
    examples = counts.pop()
    if not examples:
        raise DataError("metrics must have an example to be estimated on, got none")
    return examples
