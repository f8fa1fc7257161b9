"""Verdicts against loops, against all permutations, and on evidence that was planted."""

import itertools
import math
import re
from collections import Counter

import numpy as np
import pytest

from heedful.errors import ConfigError, DataError, ShapeError
from heedful.explaining._tops import outcomes, pairs_of, ranks_of
from heedful.explaining._words import Evidence, Tail, at_most, decide, looks, settled
from heedful.explaining.explanation import Effect
from heedful.explaining.verdict import SHARES, judge
from heedful.testing.planted_evidence import plant_evidence


def verdict(asked, weights, **settings):
    weights = np.asarray(weights, float)
    return judge(asked.model, asked.question, weights, **{"resemblance": 0.0} | settings)


def bent(kept):
    """Three targets of seven pieces that are no sums."""
    x = kept * np.array([3.0, -1.0, 0.5, 2.0, -2.0, 0.25, 1.0])
    return [np.tanh(x.sum()), x.max() - x[1] * x[3], x[0] * x[6] + x[4]]


def removed(function, weights, target, size, *, keeping):
    """The fall of one target's score, by sorting and leaving out one by one."""
    order = sorted(range(len(weights)), key=lambda piece: -weights[piece])
    kept = np.array([(piece in order[:size]) == keeping for piece in range(len(weights))])
    return function(np.ones(len(weights), bool))[target] - function(kept)[target]


def mean_fall(function, weights, *, keeping):
    return np.mean(
        [
            removed(function, row, target, max(1, round(share * len(row))), keeping=keeping)
            for target, row in enumerate(weights)
            for share in SHARES
        ]
    )


@pytest.fixture
def three(table):
    asked = table(bent, 7, 3)
    weights = np.random.default_rng(1).permuted(np.tile(np.arange(7.0), (3, 1)), axis=1)
    return asked, weights


def test_effects_are_those_of_loops(three):
    asked, weights = three
    found = verdict(asked, weights)
    assert found.comprehensiveness.value == pytest.approx(mean_fall(bent, weights, keeping=False))
    assert found.sufficiency.value == pytest.approx(mean_fall(bent, weights, keeping=True))
    whole = np.ones(7, bool)
    without = [np.arange(7) != piece for piece in range(7)]
    alone = np.array([np.subtract(bent(whole), bent(kept)) for kept in without]).T
    assert found.reference == pytest.approx(mean_fall(bent, alone, keeping=False))
    first = [row.argmax() for row in weights]  # 0.2 of 7 pieces is one
    assert found.wrong_sign == np.mean([alone[t, piece] < 0 for t, piece in enumerate(first)])


def test_many_targets_take_turns_with_the_shares(table):
    """Of six targets the first and the fourth lose the first share, and so on."""
    worth = np.random.default_rng(2).standard_normal((6, 10))
    asked = table(lambda kept: [*np.tanh(worth @ kept)], 10, 6)
    weights = np.random.default_rng(3).permuted(np.tile(np.arange(10.0), (6, 1)), axis=1)
    found = verdict(asked, weights)
    for effect, keeping in ((found.comprehensiveness, False), (found.sufficiency, True)):
        falls = [
            removed(
                lambda kept: np.tanh(worth @ kept),
                *(row, target, round(10 * SHARES[target % 3])),
                keeping=keeping,
            )
            for target, row in enumerate(weights)
        ]
        assert effect.value == pytest.approx(np.mean(falls))


def test_few_targets_lose_every_share():
    assert pairs_of(5, [1, 2, 4]) == [(slice(None), 1), (slice(None), 2), (slice(None), 4)]
    assert pairs_of(6, [1, 2, 4]) == [(slice(turn, None, 3), 2**turn) for turn in range(3)]


def test_p_is_that_of_all_permutations(three):
    asked, weights = three
    draws = 3000
    found = verdict(asked, weights, draws=draws)
    for effect, keeping in ((found.comprehensiveness, False), (found.sufficiency, True)):
        sizes = [max(1, round(share * 7)) for share in SHARES]
        values = [
            mean_fall(bent, weights[:, order], keeping=keeping)
            for order in itertools.islice(itertools.permutations(range(7)), 0, None, 11)
        ]
        better = np.less_equal if keeping else np.greater_equal
        slack = -1e-9 if keeping else 1e-9
        p = better(values, effect.value - slack).mean()
        assert sizes == [1, 1, 4]
        assert effect.p == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / draws) + 0.01)
        assert effect.random == pytest.approx(np.mean(values), abs=0.1)
        low, high = np.quantile(values, (0.025, 0.975))
        assert effect.interval == pytest.approx((low, high), abs=0.25)


def test_rounding_makes_no_map_better(table):
    # every set is worth the same, but for the last bits
    asked = table(lambda kept: [1 + 1e-16 * kept.argmax()], 12, 1)
    found = verdict(asked, [np.arange(12.0)])
    assert found.comprehensiveness.p == found.sufficiency.p == 1
    assert found.wrong_sign == 0


@pytest.mark.parametrize("runs", [100])
def test_planted_evidence_is_verified_and_shuffled_is_random(runs):
    words = {name: Counter() for name in ("right", "shuffled", "reversed")}
    for seed in range(runs):
        planted = plant_evidence(seed=seed)
        random = np.random.default_rng(seed)
        maps = {
            "right": planted.weights,
            "shuffled": random.permuted(planted.weights, axis=1),
            "reversed": -planted.weights,
        }
        for name, weights in maps.items():
            words[name][verdict(planted, weights, seed=seed).word] += 1
    assert words["right"]["verified"] >= 95
    assert words["shuffled"]["no better than random"] >= 95
    assert words["reversed"]["misleading sign"] >= 95


def test_a_shuffled_map_of_many_targets_is_not_verified(table):
    """Each target hangs on its own piece: sets drawn once for all targets would be worth alike."""
    asked = table(lambda kept: [*kept.astype(float)], 12, 12)
    assert verdict(asked, np.eye(12)).word == "verified"
    words = Counter()
    for seed in range(60):
        shuffled = np.random.default_rng(seed).permutation(np.eye(12))
        words[verdict(asked, shuffled, seed=seed).word] += 1
    assert words["verified"] <= 3
    assert words["no better than random"] >= 54


def test_places_decide_no_ties(table):
    # what counts stands first, and a map without any order must not find it there
    asked = table(lambda kept: [kept[:3].sum()], 30, 1)
    assert verdict(asked, [[3.0, 2.0, 1.0] + [0.0] * 27]).word == "verified"
    words = Counter(verdict(asked, np.zeros((1, 30)), seed=seed).word for seed in range(20))
    assert words["verified"] == 0


def test_a_map_that_models_with_random_weights_have_too_ignores_the_model():
    planted = plant_evidence()
    found = verdict(planted, planted.weights, resemblance=0.75)
    assert found.word == "ignores the model"
    assert "rank correlation is 0.75, above 0.5" in found.reason
    assert found.resemblance == 0.75


@pytest.mark.parametrize("pieces, different", [(1, 1), (4, 12), (5, 20)])
def test_with_few_pieces_no_map_stands_out(table, pieces, different):
    asked = table(lambda kept: [kept @ 2.0 ** np.arange(pieces)], pieces, 1)
    found = verdict(asked, [np.arange(float(pieces))], draws=2000)
    assert found.word == "inconclusive"
    assert f"{pieces} pieces allow {different} different maps" in found.reason


def test_with_six_pieces_a_map_can_stand_out(table):
    asked = table(lambda kept: [kept @ 2.0 ** np.arange(6)], 6, 1)
    assert verdict(asked, [np.arange(6.0)], draws=1000).word == "verified"


def test_first_pieces_that_speak_against_mislead_though_later_ones_count(table):
    worth = np.array([-0.01] * 4 + [1.0] * 6 + [0.0] * 10)
    asked = table(lambda kept: [kept @ worth], 20, 1)
    found = verdict(asked, [np.arange(20.0, 0.0, -1.0)])
    assert found.word == "misleading sign"
    assert found.wrong_sign == 1
    assert found.comprehensiveness.value > found.comprehensiveness.random
    assert "raises the score in 100% of cases" in found.reason


def test_where_all_pieces_speak_against_random_maps_are_random(table):
    asked = table(lambda kept: [-(kept @ np.arange(1.0, 21.0))], 20, 1)
    weights = np.random.default_rng(0).permutation(20.0 * np.arange(20.0))
    found = verdict(asked, [weights])
    assert found.wrong_sign == 1
    assert found.word == "no better than random"


def test_half_of_the_draws_are_enough_where_they_tell(table):
    seen = []

    def note(kept):
        seen.append(tuple(kept))
        return [kept @ np.arange(20.0)]

    asked = table(note, 20, 1)
    found = verdict(asked, [np.arange(20.0)])
    assert (found.word, found.draws) == ("verified", 100)
    assert found.comprehensiveness.p == found.sufficiency.p == pytest.approx(1 / 101)
    few = len(seen)
    noise = 10 * np.random.default_rng(0).standard_normal(20)
    unclear = verdict(asked, [np.arange(20.0) + noise])
    assert unclear.draws == 200
    assert few < 0.55 * (len(seen) - few)


def test_more_draws_do_not_change_a_word_that_half_of_them_told():
    for seed in range(10):
        planted = plant_evidence(seed=seed)
        shuffled = np.random.default_rng(seed).permuted(planted.weights, axis=1)
        for weights in (planted.weights, shuffled, -planted.weights):
            few = verdict(planted, weights, seed=seed)
            assert few.word == verdict(planted, weights, seed=seed, draws=400).word


def test_with_few_draws_nothing_is_verified():
    planted = plant_evidence()
    found = verdict(planted, planted.weights, draws=40)
    assert found.comprehensiveness.p == pytest.approx(1 / 41)
    assert found.word == "inconclusive"
    assert found.reason.endswith("raise draws from 40")


def test_a_model_that_hangs_on_nothing_does_not_blame_the_map(table):
    asked = table(lambda kept: [0.0], 20, 1)
    found = verdict(asked, [np.arange(20.0)])
    assert found.word == "inconclusive"
    assert found.reason.endswith("occlusion's own order does no better than random")


def test_the_seed_decides_all(three):
    asked, weights = three
    assert verdict(asked, weights, seed=3) == verdict(asked, weights, seed=3)
    other = verdict(asked, weights, seed=4)
    assert other.comprehensiveness.random != verdict(asked, weights).comprehensiveness.random


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"draws": 0}, ConfigError, "draws must be at least 1, got 0"),
        ({"shares": (0.1, 1.0)}, ConfigError, "shares must lie between 0 and 1, got (0.1, 1.0)"),
        ({"shares": ()}, ConfigError, "shares must lie between 0 and 1, got ()"),
        (
            {"weights": [[1.0, 2.0]]},
            ShapeError,
            "weights must be (targets, pieces) = (3, 7), got (1, 2)",
        ),
        ({"weights": [[np.nan] * 7] * 3}, DataError, "weights must be finite, got nan"),
    ],
)
def test_rejects(three, settings, error, message):
    asked, weights = three
    with pytest.raises(error, match=re.escape(message)):
        verdict(asked, **{"weights": weights} | settings)


# ---- the parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count, draws, share", [(0, 10, 0.05), (3, 200, 0.05), (40, 60, 0.7)])
def test_at_most_is_the_sum_of_binomials(count, draws, share):
    terms = (
        math.comb(draws, hits) * share**hits * (1 - share) ** (draws - hits)
        for hits in range(count + 1)
    )
    assert at_most(count, draws, share) == pytest.approx(sum(terms), rel=1e-10)


def test_outcomes_are_all_that_permutations_give():
    weights = np.array([[5.0, 4.0, 3.0, 2.0, 1.0, 0.0], [0.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    ranks = ranks_of(weights, np.random.default_rng(0))
    sizes = [1, 3]
    pairs = pairs_of(2, sizes)
    seen = {
        tuple(frozenset(np.flatnonzero(row[list(order)] < size)) for row in ranks for size in sizes)
        for order in itertools.permutations(range(6))
    }
    assert pairs == [(slice(None), 1), (slice(None), 3)]
    assert outcomes(ranks, pairs) == len(seen)


def test_equal_weights_take_all_orders():
    random = np.random.default_rng(0)
    seen = Counter(tuple(ranks_of(np.zeros((1, 3)), random)[0]) for _ in range(600))
    assert len(seen) == 6
    assert min(seen.values()) > 60


def effect(p):
    return Effect(value=3.0, random=1.0, interval=(0.5, 1.5), p=p)


def evidence(**changed):
    """Of a map that is verified."""
    usual = {
        "pieces": 30,
        "outcomes": 10**6,
        "resemblance": 0.1,
        "effects": (effect(0.005), effect(0.01)),
        "better": (Tail(0, 200), Tail(1, 200)),
        "reference": (Tail(0, 200), Tail(0, 200)),
        "worse": Tail(200, 200),
        "wrong_sign": 0.1,
        "wronger": Tail(190, 200),
    }
    return Evidence(**usual | changed)


BAD, UNSURE = Tail(60, 200), Tail(8, 200)


@pytest.mark.parametrize(
    "changed, word, cause",
    [
        ({}, "verified", "passed"),
        ({"resemblance": 0.5}, "verified", "passed"),
        ({"resemblance": 0.51}, "ignores the model", "random models"),
        ({"outcomes": 57, "resemblance": 0.9}, "inconclusive", "few pieces"),
        ({"outcomes": 58}, "verified", "passed"),
        ({"wrong_sign": 0.6}, "misleading sign", "wrong sign"),
        ({"wrong_sign": 0.5}, "verified", "passed"),
        ({"better": (BAD, Tail(0, 200))}, "no better than random", "failed"),
        ({"better": (Tail(0, 200), BAD)}, "no better than random", "failed"),
        ({"better": (BAD, UNSURE)}, "no better than random", "failed"),
        ({"better": (UNSURE, Tail(0, 200))}, "inconclusive", "few draws"),
        ({"better": (BAD, BAD), "reference": (BAD, BAD)}, "inconclusive", "occlusion failed"),
        ({"better": (BAD, BAD), "reference": (BAD, UNSURE)}, "no better than random", "failed"),
        ({"better": (BAD, BAD), "wrong_sign": 0.6}, "no better than random", "failed"),
        (
            {"better": (BAD, BAD), "wrong_sign": 0.6, "wronger": Tail(1, 200)},
            *("misleading sign", "wrong sign"),
        ),
        (
            {"better": (BAD, BAD), "worse": Tail(1, 200)},
            *("misleading sign", "worse than random"),
        ),
        ({"better": (BAD, BAD), "worse": Tail(2, 200)}, "no better than random", "failed"),
    ],
)
def test_each_word_has_its_evidence(changed, word, cause):
    found, decided, reason = decide(evidence(**changed))
    assert (found, decided) == (word, cause)
    assert re.search(r"\d", reason)
    assert "\n" not in reason


@pytest.mark.parametrize("count, certain", [(3, True), (4, False), (9, False), (10, False)])
def test_p_is_certain_where_its_interval_lies_below_the_level(count, certain):
    stats = pytest.importorskip("scipy.stats")
    interval = stats.binomtest(count, 200).proportion_ci(method="exact")
    assert (interval.high < 0.05) == certain == Tail(count, 200).certain
    assert Tail(count, 200).p == (count + 1) / 201
    assert Tail(count, 200).passed == (count < 10)


def test_one_looks_twice_where_half_can_be_enough():
    assert looks(200) == [100, 200]
    assert looks(1) == [1]
    assert Tail(0, looks(172)[0]).certain
    assert looks(171) == [171]


@pytest.mark.parametrize("draws, looked", [(200, 100), (9, 4), (7, 0)])
def test_chance_gives_no_p_more_often_than_p_says(draws, looked):
    """Of `1 + draws` maps that are equally likely the place among all is, too."""
    found = Counter()
    for behind in range(draws + 1):
        orders = math.comb(draws, looked)
        ended = math.comb(draws - behind, looked) / orders if looked else 0.0
        found[1 / (1 + looked)] += ended / (1 + draws)
        found[Tail(behind, draws, looked).p] += (1 - ended) / (1 + draws)
    total = 0.0
    for p in sorted(found):
        total += found[p]
        assert total <= p * (1 + 1e-12)
    assert total == pytest.approx(1)


HALF = {
    "better": (Tail(0, 100), Tail(0, 100)),
    "reference": (Tail(5, 100), Tail(5, 100)),
    "worse": Tail(100, 100),
}


@pytest.mark.parametrize(
    "changed, enough",
    [
        ({}, True),
        ({"better": (Tail(0, 100), Tail(1, 100))}, False),
        ({"better": (Tail(9, 100), Tail(0, 100))}, False),
        ({"better": (Tail(10, 100), Tail(0, 100))}, False),  # occlusion can pass, or not
        ({"better": (Tail(10, 100), Tail(0, 100)), "reference": (Tail(0, 100),) * 2}, True),
        ({"better": (Tail(10, 100), Tail(0, 100)), "reference": (Tail(10, 100),) * 2}, True),
        ({"worse": Tail(0, 100)}, True),
        ({"worse": Tail(1, 100)}, True),  # a p of 0.012 at least
        ({"better": (Tail(1, 100),) * 2, "resemblance": 0.51}, True),
    ],
)
def test_half_is_enough_where_every_test_is_at_an_end(changed, enough):
    assert settled(evidence(**HALF | changed)) == enough
