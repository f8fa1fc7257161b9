"""From what was measured to the word of a verdict, and the reason in one sentence."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.explaining.explanation import Cause, Effect, Word

LEVEL = 0.05  # of each test
ACCUSED = 0.01  # level of the tests that say that a map misleads: there are two of them
SIDE = 0.0125  # on either side of a 95 % interval of a p-value, that is looked at twice
RESEMBLING = 0.5  # rank correlation from which on a map is that of a random model too
MOSTLY = 0.5  # share of first pieces that may have the wrong sign


class Tail(NamedTuple):
    """How many random maps are as good as a map.

    Args:
        as_good: As many.
        draws: Of all of these.
        looked: After so many of them it would have ended, had none been as good; 0: it would not.
    """

    as_good: int
    draws: int
    looked: int = 0

    @property
    def p(self) -> float:
        """How likely chance is to give as good a map, never 0: the map itself is one of those.

        Maps that end at the first look count as better, whatever more draws would say of them. Of
        `1 + draws` maps that are equally likely, `1 + as_good` are as good as this one, and each
        place behind these adds the probability that none of those before it was among the first
        draws; the sum of all of these is a quotient of binomials.
        """
        ended = 0.0
        if self.looked:
            behind = math.comb(self.draws - self.as_good, self.looked + 1)
            ended = behind / math.comb(self.draws, self.looked)
        return (1 + self.as_good + ended) / (1 + self.draws)

    @property
    def passed(self) -> bool:
        return self.p <= LEVEL

    @property
    def certain(self) -> bool:
        """Passed, and more draws would hardly change that.

        The interval of Clopper and Pearson of the share of such maps lies below the level, at
        either of two looks.
        """
        return self.passed and at_most(self.as_good, self.draws, LEVEL) < SIDE


class Evidence(NamedTuple):
    """All that decides.

    Args:
        pieces: How many there are.
        outcomes: How many different maps there could be.
        resemblance: To maps of random models.
        effects: Comprehensiveness and sufficiency.
        better: How many random maps do as well as the map in either.
        reference: How many do as well as occlusion in either.
        worse: How many have a comprehensiveness as low as the map's.
        wrong_sign: Share of its first pieces.
        wronger: How many random maps have as large a share: of all, which asks no model.
    """

    pieces: int
    outcomes: int
    resemblance: float
    effects: tuple[Effect, Effect]
    better: tuple[Tail, Tail]
    reference: tuple[Tail, Tail]
    worse: Tail
    wrong_sign: float
    wronger: Tail


def tail(value: float, drawn: NDArray[np.float64], slack: float, *, above: bool) -> Tail:
    """Return how many draws are at least, or at most, a value; what rounding may part is equal."""
    as_good = drawn >= value - slack if above else drawn <= value + slack
    return Tail(int(as_good.sum()), len(drawn))


def at_most(count: int, draws: int, share: float) -> float:
    """Return how likely at most so many of independent draws are, each with this probability."""
    i = np.arange(count)
    steps = np.log((draws - i) / (i + 1) * share / (1 - share))
    logs = draws * np.log1p(-share) + np.concatenate([[0.0], np.cumsum(steps)])
    return float(np.exp(logs).sum())


def looks(draws: int) -> list[int]:
    """Return after how many draws to look: after half, too, where that can be enough."""
    half = draws // 2
    return [half, draws] if half and Tail(0, half).certain else [draws]


def settled(evidence: Evidence) -> bool:
    """Tell after some of the draws whether the word needs no more of them.

    Each test that it hangs on is at an end: no draw was as good, or so many were that the others
    cannot make up for them.
    """
    if evidence.resemblance > RESEMBLING:
        return True
    tests = [(evidence.worse, ACCUSED)]
    for test, reference in zip(evidence.better, evidence.reference, strict=True):
        tests += [(test, LEVEL), (reference, LEVEL)] if test.as_good else []
    draws = evidence.wronger.draws
    return all(
        not test.as_good or test._replace(draws=draws, looked=test.draws).p > level
        for test, level in tests
    )


class Decision(NamedTuple):
    """What was decided, and why: in a word, and in a sentence with its numbers."""

    word: Word
    cause: Cause
    reason: str


def decide(evidence: Evidence) -> Decision:
    """Return the word, what decided, and the reason.

    A map is verified only where both effects are certain: were either enough, chance would have two
    tries. Where the map fails and occlusion's own order fails alike, the model is to blame, or that
    so few of its pieces matter, and nothing is said of the map.
    """
    draws = evidence.wronger.draws
    alike = round(draws / evidence.outcomes)  # draws that are the map itself, were it the best
    if alike and not Tail(alike, draws).certain:
        return Decision(
            "inconclusive",
            "few pieces",
            f"{evidence.pieces} pieces allow {evidence.outcomes} different maps at these shares, "
            f"and of {draws} draws about {alike} would be as good as the best one",
        )
    if evidence.resemblance > RESEMBLING:
        return Decision(
            "ignores the model",
            "random models",
            "models with random weights give a map like it: their rank correlation is "
            f"{evidence.resemblance:.2f}, above {RESEMBLING}",
        )
    wrong = evidence.wrong_sign > MOSTLY
    passed = all(test.certain for test in evidence.better)
    if wrong and (passed or evidence.wronger.p <= ACCUSED):
        return Decision(
            "misleading sign",
            "wrong sign",
            f"removing one of its first pieces raises the score in {evidence.wrong_sign:.0%} of "
            f"cases, in random maps as often with p {evidence.wronger.p:.3f}",
        )
    if evidence.worse.p <= ACCUSED:
        return Decision(
            "misleading sign",
            "worse than random",
            f"removing its first pieces lowers the score by {_against(evidence.effects[0])}, as "
            f"little with p {evidence.worse.p:.3f}",
        )
    return _against_random(evidence)


def _against_random(evidence: Evidence) -> Decision:
    comprehensiveness, sufficiency = evidence.effects
    both = (
        f"without its first pieces the score falls by {_against(comprehensiveness)} "
        f"(p {comprehensiveness.p:.3f}), with them alone by {_against(sufficiency)} "
        f"(p {sufficiency.p:.3f})"
    )
    if all(test.certain for test in evidence.better):
        signs = f"{evidence.wrong_sign:.0%} of them have the wrong sign"
        return Decision("verified", "passed", f"{both}, and {signs}")
    failed = [
        reference.passed
        for test, reference in zip(evidence.better, evidence.reference, strict=True)
        if not test.passed
    ]
    if any(failed):
        return Decision("no better than random", "failed", both)
    if failed:
        why = "occlusion's own order does no better than random"
        return Decision("inconclusive", "occlusion failed", f"{both}, and {why}")
    draws = evidence.wronger.draws
    why = f"the intervals of p are too wide: raise draws from {draws}"
    return Decision("inconclusive", "few draws", f"{both}, and {why}")


def _against(effect: Effect) -> str:
    return f"{effect.value:.3g}, with random maps by {effect.random:.3g}"
