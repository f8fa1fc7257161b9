"""The bound against exact ones, the laws it must lose, and how often it is wrong at the budget."""

import json
import math
import re
from functools import partial

import numpy as np
import pytest

import heedful.optimizing.verdict
from heedful.errors import ConfigError, DataError, ShapeError
from heedful.metrics.metric import (
    SumMetric,
    WeightedMetric,
    mean_metric,
    per_example,
    ratio_metric,
)
from heedful.metrics.ranking import area_under_curve
from heedful.metrics.texts import text_metric
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.verdict import examples_needed, judge

QUALITY = mean_metric("quality")
ACCURACY = mean_metric("accuracy", span=1.0)
LOSS = ratio_metric("loss", higher_is_better=False)
chance = np.random.default_rng


def answers(examples, wrong):
    """All right before, the first `wrong` of them wrong after."""
    before = np.ones(examples)
    after = before.copy()
    after[:wrong] = 0
    return per_example(before), per_example(after)


def scores(examples=200, seed=1, fall=0.3, spread=2.0):
    random = chance(seed)
    before = random.normal(60, 10, examples)
    return per_example(before), per_example(before + random.normal(-fall, spread, examples))


def losses(examples=200, seed=1):
    random = chance(seed)
    tokens = random.integers(3, 20, examples)
    before = tokens * random.gamma(4, 0.5, examples)
    after = before + tokens * random.normal(0.02, 0.1, examples)
    return per_example(before, tokens), per_example(after, tokens)


def judged(sides, *, metric=QUALITY, budget="quality 1", **settings):
    return judge(*sides, metric=metric, budget=parse_lose(budget), **settings)


# ---- against exact bounds ------------------------------------------------------------------------


def chance_of_at_most(wrong, *, of, share):
    """The distribution of a binomial count, as a plain sum."""
    return sum(
        math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(min(wrong, of) + 1)
    )


def exact_bound(wrong, *, of, level=0.05):
    """The share of wrong ones at which so few are just as rare as `level`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if chance_of_at_most(wrong, of=of, share=middle) > level
            else (low, middle)
        )
    return low


@pytest.mark.parametrize("examples", [40, 150])
@pytest.mark.parametrize("wrong", [1, 2, 7, 25])
def test_of_wrong_answers_the_bound_is_the_exact_binomial_one(examples, wrong):
    resamples = 8_000
    bound = judged(
        answers(examples, wrong),
        metric=ACCURACY,
        budget="accuracy 0.1",
        resamples=resamples,
        seed=3,
    ).bound
    # a quantile of draws lies between those of levels that far off, four standard errors
    error = 4 * math.sqrt(0.05 * 0.95 / resamples)
    low, high = (exact_bound(wrong, of=examples, level=0.05 + e) for e in (error, -error))
    assert low < -bound < high


@pytest.mark.parametrize("examples", [30, 200, 2_000])
@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_differs_the_bound_is_the_rule_of_three(examples, seed):
    alike = answers(examples, 0)
    verdict = judged(alike, metric=ACCURACY, budget="accuracy 0.2", seed=seed)
    low, high = (1 - (0.05 + error) ** (1 / examples) for error in (1e-3, -1e-3))
    assert low < -verdict.bound < high
    assert -verdict.bound == pytest.approx(3 / examples, rel=0.06)
    assert verdict.accepted
    assert verdict.difference == 0


def test_of_many_small_differences_the_bound_is_the_normal_one():
    before, after = scores(4_000)
    difference = (after - before)[:, 0]
    want = difference.mean() - 1.645 * difference.std() / math.sqrt(4_000)
    error = difference.std() / math.sqrt(4_000) / 8
    assert judged((before, after)).bound == pytest.approx(want, abs=error)


def test_a_corpus_metric_has_the_bound_of_its_draws():
    references = [f"line {row} of the {row % 7} texts" for row in range(120)]
    texts = [text[:-4] if row % 9 == 0 else text for row, text in enumerate(references)]
    metric, statistics = text_metric("chrf", references)
    sides = statistics(references), statistics(texts)
    verdict = judged(sides, metric=metric, budget="chrf 9")
    assert verdict.before == 100
    assert verdict.difference == metric.score(sides[1]) - 100
    drawn = chance(8).multinomial(120, np.full(120, 1 / 120), 2_000) @ sides[1]
    usual = np.quantile(metric.combine(drawn), 0.05) - 100
    # the unseen example costs something, at most that of three in 120 sentences lost
    assert usual - 100 * 3 / 120 < verdict.bound < usual


# ---- of weighted examples ------------------------------------------------------------------------


@pytest.mark.parametrize("span", [None, 100.0])
def test_a_mean_has_one_verdict_in_both_forms(span):
    weighted = WeightedMetric(
        name="quality",
        combine=lambda rows, weights: weights @ rows[:, 0] / weights.sum(1),
        span=span,
    )
    sides = scores(80)
    want = judged(sides, metric=mean_metric("quality", span=span))
    found = judged(sides, metric=weighted)
    assert found.bound == pytest.approx(want.bound, rel=1e-9)
    assert (found.accepted, found.after) == (want.accepted, pytest.approx(want.after, rel=1e-12))


def test_an_area_under_the_curve_can_be_judged():
    random = chance(2)
    labels = np.arange(200) % 3 == 0
    before = random.normal(0, 1, 200) + 2 * labels
    metric = area_under_curve(truth=bool)
    side, nearly, noise = (
        metric.statistics(values, labels)
        for values in (before, before + random.normal(0, 0.05, 200), random.normal(0, 1, 200))
    )
    alike = judged((side, side), metric=metric, budget="auc 2")
    assert alike.accepted
    assert alike.bound == pytest.approx(-100 * (1 - 0.05 ** (1 / 200)), rel=0.01)  # three in 200
    assert judged((side, nearly), metric=metric, budget="auc 2").accepted
    refused = judged((side, noise), metric=metric, budget="auc 2")
    assert not refused.accepted
    assert refused.bound < refused.difference < -20


# ---- what must hold ------------------------------------------------------------------------------


def test_lower_is_better_is_the_mirror_image():
    sides = scores()
    mirrored = tuple(side * [-1, 1] for side in sides)
    falls = mean_metric("error", higher_is_better=False)
    for budget in (0.1, 5.0):
        up = judged(sides, budget=f"quality {budget}")
        down = judged(mirrored, metric=falls, budget=f"error +{budget}")
        assert down.bound == -up.bound
        assert down.budget == -up.budget
        assert down.accepted == up.accepted == (budget == 5.0)


def test_units_do_not_matter():
    sides = scores()
    larger = tuple(side * [1_000, 1] for side in sides)
    assert judged(larger).bound == pytest.approx(1_000 * judged(sides).bound, rel=1e-9)


def test_a_ratio_weighs_examples_by_their_size():
    sides = losses()
    verdict = judged(sides, metric=LOSS, budget="loss 0.1")
    totals = [side.sum(0) for side in sides]
    assert verdict.before == totals[0][0] / totals[0][1]
    assert verdict.after == totals[1][0] / totals[1][1]
    assert verdict.difference < verdict.bound < 0.1
    assert verdict.accepted
    twice = tuple(2 * side for side in sides)
    assert judged(twice, metric=LOSS, budget="loss 0.1").bound == verdict.bound


def test_both_sides_are_drawn_alike():
    before, after = scores(spread=0.1)
    paired = judged((before, after)).bound
    apart = judged((before, chance(0).permutation(after))).bound
    assert -0.6 < paired < -0.3
    assert apart < -1.5


def test_what_is_accepted_at_one_budget_is_so_at_any_larger():
    sides = scores()
    bound = judged(sides).bound
    for margin in (0.01, 0.3, -bound - 1e-6, -bound + 1e-6, 0.9, 50.0):
        verdict = judged(sides, budget=f"quality {margin:.12f}")
        assert verdict.accepted == (margin >= -bound)
        assert verdict.bound == pytest.approx(bound, rel=1e-12)


def test_with_a_margin_of_zero_only_a_gain_is_accepted():
    zero = partial(judged, budget="quality 0")
    assert not zero(scores(fall=0.0, spread=0.0)).accepted
    assert not zero(scores(fall=0.1)).accepted
    assert zero(scores(fall=-2.0)).accepted


def test_the_seed_decides_and_nothing_else():
    sides = scores()
    kept = [side.copy() for side in sides]
    first = judged(sides, seed=4)
    assert judged(sides, seed=4) == first
    assert judged(sides, seed=5).bound != first.bound
    assert all((side == copy).all() for side, copy in zip(sides, kept, strict=True))


@pytest.mark.parametrize("cells", [1, 1_000, 123_456])
def test_drawing_some_at_a_time_changes_nothing(cells, monkeypatch):
    sides = scores(50)
    want = judged(sides, resamples=300)
    monkeypatch.setattr(heedful.optimizing.verdict, "CELLS", cells)
    assert judged(sides, resamples=300).bound == pytest.approx(want.bound, rel=1e-12)


# ---- relative budgets ----------------------------------------------------------------------------


def test_a_share_of_a_score_that_does_not_vary():
    before = per_example(np.full(200, 50.0))
    after = per_example(50 + chance(6).normal(-0.2, 1, 200))
    share = judged((before, after), budget="quality 1%")
    units = judged((before, after), budget="quality 0.5")
    assert share.budget == units.budget == -0.5
    assert share.bound == pytest.approx(units.bound, rel=1e-9)


@pytest.mark.parametrize("grown, accepted", [(1.0099, True), (1.0101, False)])
def test_a_score_that_varies_moves_its_budget(grown, accepted):
    # every loss grows by the same share, so nothing is uncertain about that share
    before, _ = losses(2_000)
    for seed in range(4):
        verdict = judged(
            (before, before * [grown, 1]),
            metric=ratio_metric("loss", higher_is_better=False, span=1e-6),
            budget="loss 1%",
            resamples=500,
            seed=seed,
        )
        assert verdict.budget == pytest.approx(0.01 * verdict.before)
        assert verdict.accepted == accepted


# ---- how many examples are needed ----------------------------------------------------------------


@pytest.mark.parametrize(
    "allowed, span, needed",
    [(-0.5, 100.0, 598), (0.05, 1.0, 59), (-2.0, 100.0, 149), (0.5, 1.0, 30), (3.0, 1.0, 30)],
)
def test_examples_needed(allowed, span, needed):
    assert examples_needed(allowed, span=span) == needed
    if needed > 30:
        assert chance_of_at_most(0, of=needed, share=abs(allowed) / span) <= 0.05
        assert chance_of_at_most(0, of=needed - 1, share=abs(allowed) / span) > 0.05


@pytest.mark.parametrize("allowed, span", [(1e-300, 1.0), (-0.1, 1e308), (5e-324, 1e308)])
def test_so_many_examples_as_a_tiny_loss_needs_nobody_has(allowed, span):
    assert examples_needed(allowed, span=span) == 10**15
    alike = per_example(np.full(40, 1.0))
    verdict = judged((alike, alike), metric=mean_metric("x", span=span), budget="x 1e-300")
    assert not verdict.accepted
    assert verdict.reason.endswith("; 40 examples cannot show so little, no number can.")


def test_so_many_examples_are_enough_and_fewer_are_not():
    metric = mean_metric("accuracy", span=100.0)
    for examples, accepted in ((290, False), (310, True)):
        alike = per_example(np.full(examples, 100.0))
        assert judged((alike, alike), metric=metric, budget="accuracy 1").accepted == accepted
    assert examples_needed(-1.0, span=100.0) == 299


# ---- honesty -------------------------------------------------------------------------------------


def flips(random, *, examples, share):
    return answers(examples, random.binomial(examples, share))


def few_and_bad(random, *, examples, share):
    """Hardly any differ, and those by very different amounts, 10 of 100 points on average."""
    before = random.uniform(20, 100, examples)
    loss = 10 * random.lognormal(-0.5, 1, examples) * (random.random(examples) < share)
    return per_example(before), per_example(before - loss)


def all_a_little(random, *, examples, share):
    """All differ, by 100 times the share on average."""
    before = random.uniform(20, 100, examples)
    return per_example(before), per_example(before + random.normal(-100 * share, 3, examples))


HONESTY = [
    (flips, 0.03, ACCURACY, "accuracy 0.03"),
    (few_and_bad, 0.05, QUALITY, "quality 0.5"),
    (all_a_little, 0.005, QUALITY, "quality 0.5"),
]


def accepted_at_the_budget(make, share, metric, budget, verdicts=250):
    random = chance(11)
    return sum(
        judged(
            make(random, examples=200, share=share),
            metric=metric,
            budget=budget,
            resamples=400,
            seed=seed,
        ).accepted
        for seed in range(verdicts)
    )


# With one in twenty wrong, more than 25 of 250 are rarer than one in a thousand.
MANY = 25


@pytest.mark.parametrize("case", HONESTY)
def test_few_verdicts_are_wrong_at_the_budget(case):
    assert chance_of_at_most(MANY, of=250, share=0.05) > 0.999
    assert accepted_at_the_budget(*case) <= MANY


@pytest.mark.parametrize("case", HONESTY[:2])
def test_without_the_unseen_example_many_would_be(case, monkeypatch):
    monkeypatch.setattr(heedful.optimizing.verdict, "unseen_loss", lambda *_, **__: 1e-9)
    assert accepted_at_the_budget(*case) > MANY


def test_a_loss_well_within_the_budget_is_accepted():
    for seed in range(5):
        assert judged(scores(seed=seed, fall=0.2, spread=3.0), budget="quality 1").accepted
        assert judged(answers(2_000, 10), metric=ACCURACY, budget="accuracy 0.01").accepted


# ---- what it says --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["bleu", "chrf", "exact_match"])
@pytest.mark.parametrize("budget", ["{} 0.5", "{} 100%"])
def test_a_budget_of_all_there_is_to_lose_is_none(metric, budget):
    """It would accept a model that writes one sign, whatever it is asked."""
    references = ["some words of a text"] * 50
    metric, statistics = text_metric(metric, references)
    nothing = statistics(["?"] * 50)
    budget = budget.format(metric.name)
    found = (
        f"the original must have more to lose than the budget allows, got {metric.name} 0 and "
        f"{budget}: no model could be refused"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(found)}$"):
        judge(nothing, nothing, metric=metric, budget=parse_lose(budget))
    perfect = statistics(references)
    if "%" not in budget:
        assert not judge(perfect, nothing, metric=metric, budget=parse_lose(budget)).accepted


def test_says_why_it_accepts():
    verdict = judged(answers(400, 4), metric=ACCURACY, budget="accuracy 3%")
    assert (verdict.metric, verdict.before, verdict.after) == ("accuracy", 1.0, 0.99)
    assert (verdict.examples, verdict.resamples, verdict.seed) == (400, 2000, 0)
    assert verdict.budget == -0.03
    assert verdict.accepted
    assert verdict.reason == (
        "accuracy went from 1 to 0.99 (-0.01); with 95 % confidence the difference is no worse "
        f"than {verdict.bound:+.4g}, and -0.03 is allowed."
    )


def test_says_why_it_refuses():
    verdict = judged(losses(), metric=LOSS, budget="loss 0.02")
    assert not verdict.accepted
    assert verdict.reason == (
        f"loss went from {verdict.before:.5g} to {verdict.after:.5g} ({verdict.difference:+.4g}); "
        f"it may be as bad as {verdict.bound:+.4g} at 95 % confidence, and only +0.02 is allowed."
    )


def test_says_when_the_test_is_too_small():
    verdict = judged(answers(100, 0), metric=ACCURACY, budget="accuracy 0.01")
    assert not verdict.accepted
    assert verdict.reason.endswith(
        "and only -0.01 is allowed; 100 examples cannot show so little, about 299 can."
    )


def test_is_plain_data():
    verdict = judged(scores())
    assert json.loads(json.dumps(verdict.to_json())) == verdict.to_json()
    assert verdict.to_json()["bound"] == verdict.bound
    assert verdict.to_json()["accepted"] is verdict.accepted


# ---- refused -------------------------------------------------------------------------------------


def spoiled(side, value):
    side = side.copy()
    side[3] = value
    return side


GOOD = scores(40)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"sides": (GOOD[0], GOOD[1][:39])},
            ShapeError,
            "statistics must be 2-D and alike in shape before and after, got (40, 2) and (39, 2)",
        ),
        ({"sides": (GOOD[0][:, 0], GOOD[1][:, 0])}, ShapeError, "got (40,) and (40,)"),
        (
            {"sides": (GOOD[0][:29], GOOD[1][:29])},
            DataError,
            "a verdict must rest on at least 30 examples, got 29",
        ),
        (
            {"sides": (GOOD[0], spoiled(GOOD[1], [np.nan, 1]))},
            DataError,
            "statistics must be finite, got [nan  1.] after for example 3",
        ),
        (
            {"sides": (spoiled(GOOD[0], [1, np.inf]), GOOD[1])},
            DataError,
            "statistics must be finite, got [ 1. inf] before for example 3",
        ),
        (
            {"budget": "chrf 1"},
            ConfigError,
            "the budget must be for the metric judged, got chrf 1 for quality",
        ),
        (
            {"budget": "quality +1"},
            ConfigError,
            "the budget must know that higher quality is better, got quality +1",
        ),
        (
            {"metric": LOSS, "budget": "loss -1%"},
            ConfigError,
            "the budget must know that lower loss is better, got loss -1%",
        ),
        ({"confidence": 1.0}, ConfigError, "confidence must be above 0 and below 1, got 1.0"),
        ({"resamples": 199}, ConfigError, "resamples must be at least 200, got 199"),
        (
            {"metric": SumMetric(name="quality", combine=lambda sums: np.full(len(sums), np.nan))},
            DataError,
            "quality must be finite, got nan before, nan after",
        ),
        (
            {
                "metric": SumMetric(
                    name="quality",
                    combine=lambda sums: sums[:, 0] * (1.0 if len(sums) < 99 else np.nan),
                )
            },
            DataError,
            "quality must be finite for every weight of the examples, got nan",
        ),
    ],
)
def test_rejects(changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        judged(**({"sides": GOOD} | changes))


def test_examples_needed_rejects():
    with pytest.raises(ConfigError, match=r"allowed must not be 0, .* got 0"):
        examples_needed(0.0, span=1.0)
    with pytest.raises(ConfigError, match="span must be above 0, got -2"):
        examples_needed(0.1, span=-2)
