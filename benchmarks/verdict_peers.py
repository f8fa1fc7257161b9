"""How often verdicts on right and wrong answers accept what they should not: ours and a peer's.

The peer is illate-parity, whose check of two prediction files is the same question: is accuracy
lost by no more than a margin? It needs numpy alone; this file needs it beside heedful's packages:

    pip install --no-deps --target PEER illate-parity==0.1.0
    PYTHONPATH=PEER python benchmarks/verdict_peers.py

Both see nothing but how many answers turned wrong and how many turned right, so that each case is
judged once and counted as often as it is drawn.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from _measure import write
from budget_honesty import interval
from illate_parity.bootstrap import fast_paired_accuracy
from illate_parity.parity import verdict

from heedful.metrics.metric import mean_metric, per_example
from heedful.optimizing.budget import Budget
from heedful.optimizing.looks import confidence_of_look
from heedful.optimizing.verdict import judge

TRIALS, MARGIN, DRAWS = 5_000, 0.03, 10_000
METRIC = mean_metric("accuracy", span=1.0)
BUDGET = Budget(metric="accuracy", margin=-MARGIN)
CASES = ((0.0, "none turns right"), (0.03, "3 % turn right"))
SIZES = (50, 100, 300, 1_000)
LOOKS = 4


@cache
def ours(examples: int, wrong: int, right: int, confidence: float) -> bool:
    """Does heedful accept, when so many answers turned wrong and so many right?"""
    before, after = np.ones(examples), np.ones(examples)
    after[:wrong] = 0
    before[wrong : wrong + right] = 0
    found = judge(
        per_example(before),
        per_example(after),
        metric=METRIC,
        budget=BUDGET,
        confidence=confidence,
    )
    return found.accepted


@cache
def peer(examples: int, wrong: int, right: int) -> bool:
    """The same of illate-parity: its percentiles of resamples, which are drawn here by counts."""
    random = np.random.default_rng([examples, wrong, right])
    shares = [wrong / examples, right / examples, 1 - (wrong + right) / examples]
    counts = random.multinomial(examples, shares, DRAWS)
    low, high = np.quantile((counts[:, 1] - counts[:, 0]) / examples, [0.025, 0.975])
    return verdict(float(low), float(high), MARGIN) == "PASS"


def check_peer() -> None:
    """Its own function, which takes long, must come to the same ends of the interval."""
    for wrong, right in ((3, 0), (9, 2), (15, 4)):
        truth = np.ones(300, int)
        current, candidate = truth.copy(), truth.copy()
        candidate[:wrong] = 0
        current[wrong : wrong + right] = 0
        found = fast_paired_accuracy(truth, current, candidate)
        shares = [wrong / 300, right / 300, 1 - (wrong + right) / 300]
        counts = np.random.default_rng(1).multinomial(300, shares, DRAWS)
        drawn = np.quantile((counts[:, 1] - counts[:, 0]) / 300, [0.025, 0.975])
        # one example more or less
        np.testing.assert_allclose([found["low"], found["high"]], drawn, atol=1.01 / 300)


def turned(
    random: np.random.Generator, examples: int, *, lost: float, won: float, trials: int
) -> Iterator[tuple[int, int]]:
    """How many answers turned wrong and how many turned right, in so many tests."""
    shares = [lost + won, won, 1 - lost - 2 * won]
    for wrong, right, _ in random.multinomial(examples, shares, trials):
        yield int(wrong), int(right)


def compared() -> Iterator[str]:
    """A row for each size of the test and each kind of change."""
    for won, what in CASES:
        for examples in SIZES:
            random = np.random.default_rng([examples, int(100 * won)])
            columns: list[str] = []
            for lost in (MARGIN, MARGIN / 2, 0.0):
                drawn = list(turned(random, examples, lost=lost, won=won, trials=TRIALS))
                first = sum(ours(examples, *each, confidence_of_look(1)) for each in drawn)
                other = sum(peer(examples, *each) for each in drawn)
                if lost == MARGIN:
                    columns += [interval(first, TRIALS), interval(other, TRIALS)]
                else:
                    columns += [f"{100 * x / TRIALS:.0f}" for x in (first, other)]
            yield f"| {what} | {examples:,} | {' | '.join(columns)} |"


def looked(examples: int) -> str:
    """How often one of several looks accepts what lies at the budget, each at another change."""
    random = np.random.default_rng(examples)
    drawn = [
        list(turned(random, examples, lost=MARGIN, won=0.03, trials=TRIALS)) for _ in range(LOOKS)
    ]
    cells: list[str] = []
    for sure in (lambda number: 0.95, confidence_of_look):
        ever = np.zeros(TRIALS, bool)
        for number, tests in enumerate(drawn, 1):
            ever |= np.array([ours(examples, *each, sure(number)) for each in tests])
            cells.append(f"{100 * ever.mean():.1f}")
    return f"| {examples:,} | {' | '.join(cells)} |"


def main() -> None:
    """Draw, judge and write."""
    check_peer()
    heads = ["heedful", "illate-parity"]
    lines = [
        f"How many verdicts accept, in per cent, of {TRIALS:,} tests each, when at most "
        f"{100 * MARGIN:g} points",
        "of accuracy may be lost. At the budget as much is lost, truly: heedful promises at most 4 "
        "(96 % for",
        "the first look), illate-parity 0.1.0 at most 2.5 (the lower end of a 95 % interval).",
        "",
        "| besides what turns wrong | examples | "
        + " | ".join(
            f"{head}, {at}" for at in ("at the budget", "at half", "at none") for head in heads
        )
        + " |",
        "|---|---:|" + "---:|" * 6,
        *compared(),
        "",
        "How often one of several looks at the same kind of test accepts a change that lies at the "
        "budget,",
        "each time another one, until one is accepted:",
        "",
        "| examples | "
        + " | ".join(
            f"{what}, {n} look{'s' if n > 1 else ''}"
            for what in ("95 % each", "surer each time")
            for n in range(1, LOOKS + 1)
        )
        + " |",
        "|---:|" + "---:|" * 2 * LOOKS,
        *(looked(examples) for examples in (300,)),
    ]
    write("verdict-peers", lines)


if __name__ == "__main__":
    main()
