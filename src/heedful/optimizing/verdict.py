"""The verdict: is what was lost, with 95 % confidence, within the budget?"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.metrics.metric import Floats, Metric
from heedful.optimizing.budget import Budget

Sides = tuple[Floats, Floats]
CONFIDENCE = 0.95
FEWEST_EXAMPLES = 30
FEWEST_RESAMPLES = 200
# Differing examples after which what was seen weighs as much as the span; see `judge`.
PATIENCE = 20.0
# Weights held at a time, so that many examples need no more memory.
CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a budget is kept, with the evidence.

    Args:
        accepted: Is `bound` within `budget`?
        reason: The same in a sentence.
        metric: Its name.
        before: The score of the original.
        after: The score of what it became.
        difference: `after` less `before`.
        bound: What the true difference is, with 95 % confidence, no worse than.
        budget: The difference that is still fine, in units of the score also when it was given
            in per cent.
        examples: How many both were compared on.
        resamples: Draws behind `bound`.
        seed: Of the draws.
    """

    accepted: bool
    reason: str
    metric: str
    before: float
    after: float
    difference: float
    bound: float
    budget: float
    examples: int
    resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def judge(
    before: Floats,
    after: Floats,
    *,
    metric: Metric,
    budget: Budget,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdict:
    """Accept when the one-sided 95 % bound of the paired difference lies within the budget.

    A paired bootstrap: every draw weighs the examples anew, both sides alike, and the bound is the
    5 % quantile of the differences on the bad side. It departs from the usual one in two ways,
    because most examples often come out as before, and few differ much. There the usual bootstrap
    accepts up to a third of all models that lie exactly at the budget; bias correction (BCa) and
    studentising (bootstrap-t) still accept more than a tenth (`benchmarks/budget_honesty.py`).

    First, weights are drawn from a Dirichlet distribution instead of counts from a multinomial one.
    Second, one more example takes part, that nobody has seen and that loses much. Where right
    answers turn wrong and none turns right this is the exact binomial bound; where no example
    differs it is the rule of three: of `n` alike, three in `n` may still differ. So a small test
    cannot vouch for a small loss, however well it went: see `examples_needed`.

    How much the unseen example loses follows from those that differ: with few of them it is the
    span of the metric, with many the largest change seen, in between their geometric mean, weighted
    by `PATIENCE` to the effective number of those that differ. What this cannot see is a failure
    too rare for the test, hidden among many small differences.

    With a relative budget the draws also tell how the score before varies: it moves the budget.

    Args:
        before: Statistics of the original, one row an example.
        after: Statistics of what it became, of the same examples in the same order.
        metric: Makes scores of them.
        budget: What may be lost. With a margin of zero only a gain is accepted.
        resamples: Draws. At least 200.
        seed: Of the draws.

    Raises:
        ShapeError: The statistics are not 2-D and alike in shape.
        DataError: There are fewer than 30 examples, numbers are not finite, or the score is 0 on
            every example, or not finite on one alone, and the metric names no span.
        ConfigError: The budget is for another metric or direction or allows to lose all, or there
            are too few resamples.

    Source:
        Rubin 1981, "The Bayesian bootstrap" (Dirichlet weights).
        Learned-Miller and Thomas 2019, arXiv:1905.06208 (the same with one more, worst value, as a
        confidence bound of a mean; that it always holds is their conjecture).
        Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?" (the rule).
        Koehn 2004, "Statistical significance tests for machine translation evaluation" (pairs).

    Cost:
        `resamples x examples` weights are drawn and multiplied with the statistics: a fifth of a
        second for 2,000 draws of 2,000 examples; twice `resamples` scores are computed.
    """
    _check(before, after, metric, budget, resamples)
    scores = metric.score(before), metric.score(after)
    if not np.isfinite(scores).all():
        raise DataError(f"{metric.name} must be finite, got {scores[0]} before, {scores[1]} after")
    budget.check(scores[0], floor=metric.floor)
    lost = unseen_loss(before, after, metric=metric, span=span_of(before, after, metric=metric))
    excess = np.concatenate(
        [
            _excess(unseen, seen, (before, after), metric=metric, budget=budget, lost=lost)
            for unseen, seen in _weights(len(before), resamples=resamples, seed=seed)
        ]
    )
    if not np.isfinite(excess).all():
        raise DataError(f"{metric.name} must be finite for every weight of the examples, got nan")
    sign = 1.0 if metric.higher_is_better else -1.0
    allowed = budget.allowed(scores[0])
    bound = allowed + sign * float(np.quantile(sign * excess, 1 - CONFIDENCE))
    return Verdict(
        accepted=bound >= allowed if metric.higher_is_better else bound <= allowed,
        reason=_reason(metric, scores, bound, allowed, len(before), lost),
        metric=metric.name,
        before=scores[0],
        after=scores[1],
        difference=scores[1] - scores[0],
        bound=bound,
        budget=allowed,
        examples=len(before),
        resamples=resamples,
        seed=seed,
    )


def examples_needed(allowed: float, *, span: float) -> int:
    """Return how many examples a test must hold to vouch for a loss, even where none differs.

    Args:
        allowed: The difference that is still fine, in units of the score; its sign is ignored.
        span: The most that one example can lose.

    Raises:
        ConfigError: `allowed` is 0: no test can vouch for that. Or `span` is not above 0.

    Source:
        Hanley and Lippman-Hand 1983: of `n` examples alike, a share `1 - 0.05^(1/n)`, about `3/n`,
        may still differ.
    """
    if not span > 0:
        raise ConfigError(f"span must be above 0, got {span}")
    if not allowed:
        raise ConfigError("allowed must not be 0, which no number of examples can show, got 0")
    share = abs(allowed) / span
    if share >= 1:
        return FEWEST_EXAMPLES
    return max(FEWEST_EXAMPLES, math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-share)))


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


def _excess(
    unseen: Floats, seen: Floats, sides: Sides, *, metric: Metric, budget: Budget, lost: float
) -> Floats:
    """How far the difference lies from the budget, for each draw."""
    # as large as the sums of all, for rounding to whole counts should not matter
    weights = seen.shape[1] * seen
    old, new = (metric.scores(side, weights=weights) for side in sides)
    loss = -lost if metric.higher_is_better else lost
    allowed = budget.margin * np.abs(old) if budget.relative else budget.margin
    return (1 - unseen) * (new - old) + unseen * loss - allowed


def _weights(examples: int, *, resamples: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """The share of the unseen example in each draw, and those of the others in the rest."""
    random = np.random.default_rng(seed)
    # evenly over its distribution, so that where nothing differs the bound depends on no chance
    places = (np.arange(resamples) + random.random(resamples)) / resamples
    unseen = -np.expm1(np.log1p(-places) / examples)
    rows = max(1, CELLS // examples)
    for start in range(0, resamples, rows):
        share = unseen[start : start + rows]
        seen = random.standard_exponential((len(share), examples))
        yield share, seen / seen.sum(1, keepdims=True)


def _reason(
    metric: Metric,
    scores: tuple[float, float],
    bound: float,
    allowed: float,
    examples: int,
    lost: float,
) -> str:
    difference = scores[1] - scores[0]
    text = f"{metric.name} went from {scores[0]:.5g} to {scores[1]:.5g} ({difference:+.4g}); "
    if bound >= allowed if metric.higher_is_better else bound <= allowed:
        return (
            f"{text}with 95 % confidence the difference is no worse than {bound:+.4g}, "
            f"and {allowed:+.4g} is allowed."
        )
    text += (
        f"it may be as bad as {bound:+.4g} at 95 % confidence, and only {allowed:+.4g} is allowed"
    )
    if allowed and examples < (needed := examples_needed(allowed, span=lost)):
        text += f"; {examples} examples cannot show so little, about {needed} can"
    return f"{text}."


def _check(before: Floats, after: Floats, metric: Metric, budget: Budget, resamples: int) -> None:
    if before.ndim != 2 or before.shape != after.shape:
        raise ShapeError(
            "statistics must be 2-D and alike in shape before and after, "
            f"got {before.shape} and {after.shape}"
        )
    if len(before) < FEWEST_EXAMPLES:
        raise DataError(
            f"a verdict must rest on at least {FEWEST_EXAMPLES} examples, got {len(before)}"
        )
    for name, side in (("before", before), ("after", after)):
        if not np.isfinite(side).all():
            row = int(np.isfinite(side).all(1).argmin())
            raise DataError(f"statistics must be finite, got {side[row]} {name} for example {row}")
    if budget.metric != metric.name:
        raise ConfigError(
            f"the budget must be for the metric judged, got {budget} for {metric.name}"
        )
    if budget.margin and budget.higher_is_better != metric.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        raise ConfigError(
            f"the budget must know that {better} {metric.name} is better, got {budget}"
        )
    if resamples < FEWEST_RESAMPLES:
        raise ConfigError(f"resamples must be at least {FEWEST_RESAMPLES}, got {resamples}")
