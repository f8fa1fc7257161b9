"""How often a verdict accepts what lies exactly at the budget, and how often what is well within.

Thousands of tests are simulated whose true loss is known, and each is given to
`heedful.optimizing.verdict.judge`. Beside it stand three usual bootstraps of the same differences.
"""

import math
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import NormalDist

import numpy as np
from _measure import write

from heedful.metrics.metric import Floats, Metric, per_example, ratio_metric
from heedful.metrics.texts import text_metric
from heedful.optimizing import verdict
from heedful.optimizing.budget import Budget, parse_lose
from heedful.optimizing.verdict import judge

AT_BUDGET, WITHIN, SEEDS, RESAMPLES = 1_000, 400, 10, 1_000
NORMAL = NormalDist()
Sides = tuple[Floats, Floats]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A kind of test: `draw(random, examples, share)` loses that share of the budget, truly."""

    name: str
    budget: Budget
    metric: Metric
    draw: Callable[[np.random.Generator, int, float], Sides]
    sizes: tuple[int, ...] = (200, 500, 2_000)


# ---- what is simulated ---------------------------------------------------------------------------


def right_or_wrong(
    random: np.random.Generator, examples: int, share: float, *, lost: float, won: float
) -> Sides:
    """Right in 90 % before; of all, `lost` turn wrong and `won` turn right."""
    before = random.random(examples) < 0.9
    luck = random.random(examples)
    turns_wrong = before & (luck < (won + (lost - won) * share) / 0.9)
    turns_right = ~before & (luck < won / 0.1)
    return per_example(100 * before), per_example(100 * (before & ~turns_wrong | turns_right))


def points(random: np.random.Generator, examples: int) -> Floats:
    return np.clip(random.normal(70, 15, examples), 0, 100)


def all_differ(random: np.random.Generator, examples: int, share: float, *, fall: float) -> Sides:
    before = points(random, examples)
    return per_example(before), per_example(before - random.normal(fall * share, 3, examples))


def log_normal(random: np.random.Generator, examples: int, *, spread: float) -> Floats:
    """Falls of 10 points on average before they are cut at 100."""
    return np.minimum(10 * random.lognormal(-(spread**2) / 2, spread, examples), 100)


def mean_log_normal(spread: float) -> float:
    middle = math.log(10) - spread**2 / 2
    cut = (math.log(100) - middle) / spread
    return 10 * NORMAL.cdf(cut - spread) + 100 * (1 - NORMAL.cdf(cut))


def few_differ(
    random: np.random.Generator,
    examples: int,
    share: float,
    *,
    lost: float,
    won: float = 0.0,
    spread: float,
    noise: float = 0.0,
) -> Sides:
    """A few fall by amounts of very different size, fewer rise by such; the others are alike."""
    before, luck = points(random, examples), random.random(examples)
    sign = 1.0 * (luck < won + (lost - won) * share) - 1.0 * (luck > 1 - won)
    change = sign * log_normal(random, examples, spread=spread)
    return per_example(before), per_example(
        before - change - noise * random.standard_normal(examples)
    )


def rare_failures(random: np.random.Generator, examples: int, share: float) -> Sides:
    """One in a hundred loses all of 100 points; all others differ by a tenth of a point."""
    change = np.where(random.random(examples) < 0.01 * share, 100.0, 0.0)
    change += 0.1 * random.standard_normal(examples)
    before = points(random, examples)
    return per_example(before), per_example(before - change)


def token_losses(
    random: np.random.Generator, examples: int, share: float, *, noise: float
) -> Sides:
    """Texts of unequal length; a loss of 2 a token grows by 2.5 %, in some texts much more."""
    tokens = np.ceil(random.lognormal(2.5, 0.6, examples))
    loss = random.gamma(4, 0.5, examples)
    grown = loss + 0.05 * share * (loss / 2) * random.lognormal(-0.5, 1, examples)
    grown += noise * random.standard_normal(examples)
    return per_example(tokens * loss, tokens), per_example(tokens * grown, tokens)


@lru_cache
def spoiled_texts(sentences: int = 20_000) -> tuple[Metric, Floats, Floats]:
    """chrF statistics of a whole population: translated, and with the latter half in disorder."""
    random = np.random.default_rng(5)
    words = ["".join(random.choice(list("abcdefghiklmnoprstu"), size)) for size in range(2, 9)] * 40
    references, texts, spoiled = [], [], []
    for size in random.integers(3, 20, sentences):
        chosen = random.choice(words, size).tolist()
        references.append(" ".join(chosen))
        chosen[random.integers(size)] = "a"
        texts.append(" ".join(chosen))
        spoiled.append(" ".join([*chosen[: size // 2], *random.choice(words, size - size // 2)]))
    metric, statistics = text_metric("chrf", references)
    return metric, statistics(texts), statistics(spoiled)


SPOILED = 0.02


def some_spoiled(random: np.random.Generator, examples: int, share: float) -> Sides:
    _, whole, spoiled = spoiled_texts()
    rows = random.integers(len(whole), size=examples)
    chosen = (random.random(examples) < SPOILED * share)[:, None]
    return whole[rows], np.where(chosen, spoiled[rows], whole[rows])


def text_budget() -> Budget:
    """What the population truly loses, since sums over it are known."""
    metric, whole, spoiled = spoiled_texts()
    after = metric.score(whole + SPOILED * (spoiled - whole))
    return Budget(metric="chrf", margin=after - metric.score(whole))


def scenarios() -> Iterator[Scenario]:
    quality = ratio_metric("quality", span=100.0)
    loss = ratio_metric("loss", higher_is_better=False)
    make = partial(Scenario, metric=quality)

    def falls(share: float, spread: float) -> Budget:
        return Budget(metric="quality", margin=-share * mean_log_normal(spread))

    two = parse_lose("quality 2")
    yield make(
        name="right or wrong: 2 % lost",
        budget=two,
        draw=partial(right_or_wrong, lost=0.02, won=0.0),
    )
    yield make(
        name="right or wrong: 4 % lost, 2 % won",
        budget=two,
        draw=partial(right_or_wrong, lost=0.04, won=0.02),
    )
    half = parse_lose("quality 0.5")
    yield make(name="all differ, normally", budget=half, draw=partial(all_differ, fall=0.5))
    for share, spread in ((0.02, 1.0), (0.02, 1.5), (0.1, 1.0)):
        yield make(
            name=f"{100 * share:g} % fall, log-normally ({spread:g}), others alike",
            budget=falls(share, spread),
            draw=partial(few_differ, lost=share, spread=spread),
        )
    yield make(
        name="4 % fall, 2 % rise, log-normally (1), others alike",
        budget=falls(0.02, 1.0),
        draw=partial(few_differ, lost=0.04, won=0.02, spread=1.0),
    )
    yield make(
        name="2 % fall, log-normally (1), others by a tenth",
        budget=falls(0.02, 1.0),
        draw=partial(few_differ, lost=0.02, spread=1.0, noise=0.1),
    )
    for noise, words in ((0.0, "all grow"), (0.2, "all differ")):
        draw = partial(token_losses, noise=noise)
        for text in ("loss <= +0.05", "loss <= 2.5%"):
            yield make(
                name=f"loss by token: {words}, log-normally (1)",
                budget=parse_lose(text),
                metric=loss,
                draw=draw,
            )
    yield make(
        name="chrF of texts, 2 % spoiled",
        budget=text_budget(),
        metric=spoiled_texts()[0],
        draw=some_spoiled,
        sizes=(500, 2_000),
    )
    yield make(
        name="**beyond it:** 1 % lost whole, others differ by a tenth",
        budget=parse_lose("quality 1"),
        draw=rare_failures,
    )


# ---- what decides --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _kept(examples: int, resamples: int, seed: int) -> list[Sides]:
    return list(_drawn(examples, resamples=resamples, seed=seed))


# The weights depend on nothing but these three, and most of the time goes into drawing them.
_drawn = verdict._weights
verdict._weights = lambda examples, *, resamples, seed: _kept(examples, resamples, seed)


def accepted(scenario: Scenario, sides: Sides, seed: int) -> bool:
    return judge(*sides, metric=scenario.metric, budget=scenario.budget, seed=seed).accepted


def gains(scenario: Scenario, sides: Sides) -> Floats:
    """What each example adds to how far the score stays within the budget."""
    old, new = (scenario.metric.influence(side) for side in sides)
    margin = scenario.budget.margin
    gain = new - old - (margin * old if scenario.budget.relative else margin)
    return gain if scenario.metric.higher_is_better else -gain


def usual(gain: Floats, counts: Floats) -> tuple[float, float, float]:
    """How often the percentile, BCa and studentised bootstrap accept; a column for each test."""
    examples, mean = len(gain), gain.mean(0)
    means = counts @ gain / examples
    low = np.quantile(means, 0.05, axis=0)
    off = gain - mean
    below = ((means < mean).mean(0) + (means <= mean).mean(0)) / 2
    bias = np.array([NORMAL.inv_cdf(x) for x in np.clip(below, 1e-3, 1 - 1e-3)])
    skew = (off**3).sum(0) / (6 * np.maximum((off**2).sum(0), 1e-30) ** 1.5)
    moved = bias + (bias - 1.645) / (1 - skew * (bias - 1.645))
    corrected = [
        np.quantile(column, NORMAL.cdf(level)) for column, level in zip(means.T, moved, strict=True)
    ]
    deviation = np.sqrt(np.maximum(counts @ gain**2 / examples - means**2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        student = np.where(deviation > 0, (means - mean) / deviation, np.sign(means - mean) * 1e9)
    studentised = np.where(
        gain.std(0) > 0, mean - gain.std(0) * np.quantile(student, 0.95, axis=0), mean
    )
    percentile, bca, t = ((bound >= 0).mean() for bound in (low, np.array(corrected), studentised))
    return float(percentile), float(bca), float(t)


def interval(count: int, of: int) -> str:
    """Wilson's 95 % interval of a share, in per cent."""
    share, z = count / of, 1.96
    middle, width = (
        share + z**2 / (2 * of),
        z * math.sqrt(share * (1 - share) / of + (z / of / 2) ** 2),
    )
    low, high = ((middle + side * width) / (1 + z**2 / of) for side in (-1, 1))
    return f"{100 * share:.1f} ({100 * max(0.0, low):.1f} to {100 * high:.1f})"


def row(scenario: Scenario, examples: int) -> str:
    random = np.random.default_rng([examples, zlib.crc32(scenario.name.encode())])
    counts = random.multinomial(examples, np.full(examples, 1 / examples), RESAMPLES).astype(float)
    wrong, columns = 0, []
    right = {0.5: 0, 0.0: 0}
    for seed in range(SEEDS):
        for _ in range(AT_BUDGET // SEEDS):
            sides = scenario.draw(random, examples, 1.0)
            wrong += accepted(scenario, sides, seed)
            columns.append(gains(scenario, sides))
        for share in right:
            for _ in range(WITHIN // SEEDS):
                right[share] += accepted(scenario, scenario.draw(random, examples, share), seed)
    others = " | ".join(f"{100 * x:.1f}" for x in usual(np.stack(columns, axis=1), counts))
    powers = " | ".join(f"{100 * count / WITHIN:.0f}" for count in right.values())
    margin = str(scenario.budget).partition(" ")[2]
    if len(margin) > 9:
        margin = f">= {scenario.budget.margin:.3f}"
    return (
        f"| {scenario.name} | {examples:,} | {margin} | {interval(wrong, AT_BUDGET)} "
        f"| {others} | {powers} |"
    )


def main() -> None:
    lines = [
        "How many verdicts accept, in per cent. With a true loss exactly at the budget at most 5",
        f"should: {AT_BUDGET:,} verdicts each. At half of it and at no loss: {WITHIN} each.",
        "",
        "| what differs | examples | budget | accepted at the budget (95 % interval) "
        "| percentile | BCa | bootstrap-t | accepted at half | at none |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for scenario in scenarios():
        for examples in scenario.sizes:
            lines.append(row(scenario, examples))
            print(lines[-1], file=sys.stderr, flush=True)
    lines += [
        "",
        "Percentile, BCa and bootstrap-t are the usual bootstraps of the same differences, with",
        f"{RESAMPLES:,} draws. Where few examples differ they accept far too much.",
        "",
        "0 at no loss means that the test is too small for the budget: where an example can lose",
        "100 points, and none of n does, three in n may still do so. That takes 150 examples for a",
        "budget of 2 points, 600 for 0.5 and 1,500 for 0.2, unless most differ by little.",
        "",
        "The last rows show what none of these can see: failures so rare that a small test misses",
        "them (two in 200, on average), among differences enough to look well known.",
    ]
    write("budget-honesty", lines)


if __name__ == "__main__":
    main()
