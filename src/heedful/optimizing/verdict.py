"""The verdict: is what was lost, with 95 % confidence, within the budget?"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.metrics.metric import Floats, Metric
from heedful.optimizing.budget import Budget
from heedful.optimizing.unseen import span_of, unseen_loss

Sides = tuple[Floats, Floats]
CONFIDENCE = 0.95
FEWEST_EXAMPLES, MOST_EXAMPLES = 30, 10**15
FEWEST_RESAMPLES = 200
IN_TAIL = 20  # draws beyond the bound, at least, up to MOST_RESAMPLES draws in all
RESAMPLES, MOST_RESAMPLES = 2_000, 100_000
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
        bound: What the true difference is, as surely as `confidence` says, no worse than.
        budget: The difference that is still fine, in units of the score also when it was given
            in per cent.
        examples: How many both were compared on.
        resamples: Draws behind `bound`.
        seed: Of the draws.
        confidence: How surely; above 95 % where a test split is looked at more than once.
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
    confidence: float = CONFIDENCE

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def judge(
    before: Floats,
    after: Floats,
    *,
    metric: Metric,
    budget: Budget,
    confidence: float = CONFIDENCE,
    resamples: int | None = None,
    seed: int = 0,
) -> Verdict:
    """Accept when the one-sided bound of the paired difference lies within the budget.

    A paired bootstrap: every draw weighs the examples anew, both sides alike, and the bound is the
    quantile of the differences on the bad side, 5 % at a confidence of 95 %. It departs from the
    usual one in two ways, because most examples often come out as before, and few differ much.
    There the usual bootstrap accepts up to a third of all models that lie exactly at the budget;
    bias correction (BCa) and studentising (bootstrap-t) still accept more than a tenth
    (`benchmarks/budget_honesty.py`).

    First, weights are drawn from a Dirichlet distribution instead of counts from a multinomial one.
    Second, one more example takes part, that nobody has seen and that loses much. Where right
    answers turn wrong and none turns right this is the exact binomial bound; where no example
    differs it is the rule of three: of `n` alike, three in `n` may still differ. So a small test
    cannot vouch for a small loss, however well it went: see `examples_needed`.

    How much the unseen example loses follows from those that differ: with few of them it is the
    span of the metric, with many the largest change seen, in between their geometric mean, weighted
    by `PATIENCE`, in `unseen.py`, to the effective number of those that differ. What this cannot
    see is a failure too rare for the test, hidden among many small differences.

    With a relative budget the draws also tell how the score before varies: it moves the budget.

    Args:
        before: Statistics of the original, one row an example.
        after: Statistics of what it became, of the same examples in the same order.
        metric: Makes scores of them.
        budget: What may be lost. With a margin of zero only a gain is accepted.
        confidence: How sure the bound is; `confidence_of_look` says it of a test split.
        resamples: Draws. At least 200; `None` means 2,000, or as many more as a surer bound needs.
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
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be above 0 and below 1, got {confidence}")
    resamples = _enough(1 - confidence) if resamples is None else resamples
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
    bound = allowed + sign * float(np.quantile(sign * excess, 1 - confidence))
    return Verdict(
        accepted=bound >= allowed if metric.higher_is_better else bound <= allowed,
        reason=_reason(metric, scores, bound, allowed, len(before), lost, confidence),
        metric=metric.name,
        before=scores[0],
        after=scores[1],
        difference=scores[1] - scores[0],
        bound=bound,
        budget=allowed,
        examples=len(before),
        resamples=resamples,
        seed=seed,
        confidence=confidence,
    )


def examples_needed(allowed: float, *, span: float, confidence: float = CONFIDENCE) -> int:
    """Return how many examples a test must hold to vouch for a loss, even where none differs.

    Args:
        allowed: The difference that is still fine, in units of the score; its sign is ignored.
        span: The most that one example can lose.
        confidence: How surely.

    Returns:
        At most `MOST_EXAMPLES`, which nobody has.

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
    needed = math.log(1 - confidence) / math.log1p(-max(share, 1 / MOST_EXAMPLES))
    return min(MOST_EXAMPLES, max(FEWEST_EXAMPLES, math.ceil(needed)))


def _enough(tail: float) -> int:
    """How many draws make the bound of such a tail steady."""
    return int(min(MOST_RESAMPLES, max(RESAMPLES, round(IN_TAIL / tail))))


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
    confidence: float,
) -> str:
    difference, surely = scores[1] - scores[0], f"{100 * confidence:.4g} % confidence"
    text = f"{metric.name} went from {scores[0]:.5g} to {scores[1]:.5g} ({difference:+.4g}); "
    if bound >= allowed if metric.higher_is_better else bound <= allowed:
        return (
            f"{text}with {surely} the difference is no worse than {bound:+.4g}, "
            f"and {allowed:+.4g} is allowed."
        )
    text += f"it may be as bad as {bound:+.4g} at {surely}, and only {allowed:+.4g} is allowed"
    if allowed and examples < (
        needed := examples_needed(allowed, span=lost, confidence=confidence)
    ):
        can = "no number can" if needed == MOST_EXAMPLES else f"about {needed} can"
        text += f"; {examples} examples cannot show so little, {can}"
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
