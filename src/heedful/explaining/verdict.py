"""Is a map better than random ones, of the right sign, and of this model?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.explaining._tops import (
    Ranks,
    dealt_out,
    falls,
    outcomes,
    pairs_of,
    ranks_of,
    sizes_of,
)
from heedful.explaining._words import Evidence, Tail, decide, looks, settled, tail
from heedful.explaining.explanation import Effect, Verdict
from heedful.explaining.occlusion import occluded
from heedful.explaining.question import Question
from heedful.explaining.removal import KeptScores

SHARES = (0.1, 0.2, 0.5)  # of the pieces, that are removed or kept
FIRST = 0.2  # share of the pieces whose signs are looked at


def judge(
    model: nn.Module,
    question: Question,
    weights: NDArray[np.float64],
    *,
    resemblance: float,
    draws: int = 200,
    seed: int = 0,
    shares: Sequence[float] = SHARES,
) -> Verdict:
    """Test a map by removing pieces, against the same map dealt out at random.

    *Comprehensiveness* is how much the score of a target falls when the first pieces of its map are
    removed, *sufficiency* how much it falls when they alone are kept, both the mean over shares and
    targets; of twice as many targets as shares, or more, each has one share, in turn. A random map
    has the values of the map on other pieces. With `p` the share of random maps that are as good,
    itself included, the word is the first of these that fits:

    * "inconclusive": so few pieces that not even the best map would stand out from the draws.
    * "ignores the model": `resemblance` is above 0.5.
    * "misleading sign": most of its first pieces raise the score when they are removed, though the
      map passes else, or so often with p at most 0.01; or comprehensiveness is as low with p at
      most 0.01.
    * "verified": p is at most 0.05 for both, and the 95 % interval of either lies below that.
    * "no better than random": p is above 0.05 for one of them where occlusion's order passes.
    * "inconclusive": occlusion's order does not pass either, or there are too few draws.

    A random map is verified in less than 5 % of cases: as often as both p are at most 0.05.

    Half of the draws are enough where none of these is as good as the map or as occlusion, or so
    many are that the others could not make up for them; of fewer than 172 draws nobody can tell.
    What might have ended there has a p that counts this in, so p keeps its meaning either way.

    Args:
        model: Of which the question is.
        question: What was asked.
        weights: `(targets, pieces)`; larger means: counts for the target.
        resemblance: Rank correlation with maps of random models; see `resemblance`.
        draws: How many random maps at most.
        seed: Of what is random: ties, too, so that their place decides nothing.
        shares: Of the pieces, that are removed or kept.

    Raises:
        ConfigError: `draws` is below 1, or a share does not lie between 0 and 1.
        DataError: A score or a weight is not finite.
        ShapeError: The map is not of this question.

    Source:
        DeYoung et al. 2019, arXiv:1911.03429, section 4 (comprehensiveness, sufficiency); random
        maps as its reference, and at equal shares, is our choice. Phipson and Smyth 2010,
        "Permutation p-values should never be zero". Besag and Clifford 1991, Biometrika 78,
        "Sequential Monte Carlo p-values" (draws that end early); where they end is our choice.

    Cost:
        At most `2 * shares * (draws + 2) * targets + pieces + 1` copies of the input, of many
        targets without the factor `shares`; no set of pieces is asked for twice, so with one
        target, or few pieces, much fewer.
    """
    _check(question, weights, draws, shares)
    random = np.random.default_rng(seed)
    scores = KeptScores(model, question)
    alone = occluded(scores)
    pairs = pairs_of(len(weights), sizes_of(shares, scores.pieces))
    own, best = ranks_of(weights, random), ranks_of(alone, random)
    maps = np.concatenate([np.stack([own, best]), dealt_out(own, draws, random)])

    def gathered(count: int, looked: int) -> tuple[Evidence, float]:
        fell = falls(scores, maps[: 2 + count], pairs)
        slack = scores.rounding()
        wrong = _wrong(alone < -slack, maps)
        evidence = Evidence(
            scores.pieces,
            outcomes(own, pairs),
            resemblance,
            *_tests(fell, slack, looked),
            wrong_sign=float(wrong[0]),
            wronger=tail(wrong[0], wrong[2:], 0.0, above=True),
        )
        return evidence, float(fell[0][1])

    first, *others = looks(draws)
    evidence, reference = gathered(first, 0)
    for count in others:
        if not settled(evidence):
            evidence, reference = gathered(count, first)
    word, cause, reason = decide(evidence)
    return Verdict(
        word=word,
        reason=reason,
        comprehensiveness=evidence.effects[0],
        sufficiency=evidence.effects[1],
        reference=reference,
        wrong_sign=evidence.wrong_sign,
        resemblance=resemblance,
        draws=evidence.worse.draws,
        cause=cause,
    )


def _check(
    question: Question, weights: NDArray[np.float64], draws: int, shares: Sequence[float]
) -> None:
    expected = (len(question.targets), len(question.pieces))
    if weights.shape != expected:
        raise ShapeError(f"weights must be (targets, pieces) = {expected}, got {weights.shape}")
    if not np.isfinite(weights).all():
        raise DataError(f"weights must be finite, got {weights[~np.isfinite(weights)][0]}")
    if draws < 1:
        raise ConfigError(f"draws must be at least 1, got {draws}")
    if not shares or not all(0 < share < 1 for share in shares):
        raise ConfigError(f"shares must lie between 0 and 1, got {tuple(shares)}")


def _tests(
    fell: tuple[NDArray[np.float64], NDArray[np.float64]], slack: float, looked: int
) -> tuple[tuple[Effect, Effect], tuple[Tail, Tail], tuple[Tail, Tail], Tail]:
    """The effects, and how many draws do as well: as the map, as occlusion, or fall as little."""
    (own, best), (kept, kept_best) = (
        [tail(each[of], each[2:], slack, above=above)._replace(looked=looked) for of in (0, 1)]
        for each, above in zip(fell, (True, False), strict=True)
    )
    worse = tail(fell[0][0], fell[0][2:], slack, above=False)._replace(looked=looked)
    effects = _effect(fell[0], own), _effect(fell[1], kept)
    return effects, (own, kept), (best, kept_best), worse


def _effect(fell: NDArray[np.float64], test: Tail) -> Effect:
    """The first number is that of the map, the second that of occlusion, the others are random."""
    low, high = np.quantile(fell[2:], (0.025, 0.975))
    return Effect(
        value=float(fell[0]),
        random=float(fell[2:].mean()),
        interval=(float(low), float(high)),
        p=test.p,
    )


def _wrong(against: NDArray[np.bool_], maps: Ranks) -> NDArray[np.float64]:
    """The share of the first pieces that speak against their targets, of each map."""
    (size,) = sizes_of((FIRST,), maps.shape[2])
    return ((maps < size) & against).sum(2).mean(1) / size
