"""Statistics of maps: against loops in float64, and what must hold of some maps."""

import math
from dataclasses import replace

import pytest
import torch

from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn.mechanisms.base import Mechanism
from heedful.probing.explicit_weights import MechanismWeights
from heedful.probing.statistics import StatisticsSettings, statistics
from heedful.probing.weights import Masking, ScaledDotWeights
from heedful.testing import tolerance
from heedful.testing.oracle import scaled_dot
from heedful.testing.oracle.statistics import attention_statistics

NAMES = (
    "entropy",
    "normalised_entropy",
    "effective_keys",
    "participation",
    "gini",
    "sink_mass",
    "top_mass",
    "distance",
    "coverage",
    "support",
    "rows",
    "empty_rows",
)


def attention(scores_scale=1.0, dtype=torch.float32, seed=0, queries=5, keys=7, **rules):
    draw = torch.Generator().manual_seed(seed)
    query = torch.randn(2, 3, queries, 4, generator=draw, dtype=torch.float64).to(dtype)
    key = torch.randn(2, 3, keys, 4, generator=draw, dtype=torch.float64).to(dtype)
    return ScaledDotWeights(
        batch=2,
        heads=(0, 1, 2),
        kv_heads=(0, 1, 2),
        rows=torch.arange(queries),
        queries=queries,
        keys=keys,
        self_attention=True,
        query=query,
        key=key,
        scale=scores_scale,
        masking=Masking(**rules),
    )


def everyone(b, h, i, j):
    return True


def causal_end(b, h, i, j):
    return j <= i + 2


def some(b, h, i, j):
    return (i * 3 + j + h) % 4 != 0 and (b, i) != (1, 2)


def dense(sees):
    visible = [
        [[[sees(b, h, i, j) for j in range(7)] for i in range(5)] for h in range(3)]
        for b in range(2)
    ]
    return torch.tensor(visible)


KINDS = {
    "all": ({}, everyone),
    "mask": ({"mask": Mask.causal()}, causal_end),
    "visible": ({"visible": (dense(some),)}, some),
    "switch": ({"causal": True}, lambda b, h, i, j: j <= i),
    "both": (
        {"visible": (dense(some),), "causal": True},
        lambda b, h, i, j: some(b, h, i, j) and j <= i,
    ),
    "added": ({"added": (torch.zeros(2, 3, 5, 7).masked_fill(~dense(some), -math.inf),)}, some),
    "lowest": (
        {
            "added": (
                torch.zeros(2, 3, 5, 7).masked_fill(~dense(some), torch.finfo(torch.float32).min),
            ),
            "uniform": True,
        },
        some,
    ),
}


@pytest.mark.parametrize("block", [None, 1, 2, 3, 99])
@pytest.mark.parametrize("kind", KINDS)
def test_matches_float64_loops(kind, block):
    rules, sees = KINDS[kind]
    given = attention(1.3, **rules)
    found = statistics(
        [(given, (0, 1, 2))], StatisticsSettings(sinks=2, top=3, tau=0.8), block=block
    )
    query, key = (x.double().numpy() * 1.3**0.5 for x in (given.query, given.key))
    # the oracle divides by sqrt(dim) = 2
    weights, _ = scaled_dot(query * 2, key, key, sees)
    offset = 0 if given.masking.causal else 2
    want = attention_statistics(weights, sees, lambda i: i + offset, sinks=2, top=3, tau=0.8)
    for name in NAMES:
        tolerance.assert_close(
            getattr(found, name).float(),
            torch.from_numpy(want[name]),
            roundings=2 * tolerance.roundings(torch.float32, 4, 7),
            largest=max(8.0, float(abs(want[name]).max())),
        )


@pytest.mark.parametrize("keys", [1, 2, 50])
def test_equal_weights_are_spread_wide(keys):
    found = statistics([(attention(0.0, keys=keys), (0, 1, 2))], StatisticsSettings(sinks=1, top=1))
    n = torch.full((3,), float(keys), dtype=torch.float64)
    for name, want in {
        "effective_keys": n,
        "participation": n,
        "support": n,
        "gini": 0 * n,
        "entropy": n.log(),
        "sink_mass": 1 / n,
        "top_mass": 1 / n,
        "coverage": (0.9 * n - 1e-9).ceil(),
        "normalised_entropy": n / n if keys > 1 else n * math.nan,
    }.items():
        actual = getattr(found, name).float()
        tolerance.assert_close(actual.nan_to_num(), want.nan_to_num(), roundings=9, largest=keys)
        assert torch.equal(actual.isnan(), want.isnan())


def test_one_key_alone_is_sharp():
    given = attention(1e4, keys=50)
    found = statistics([(given, (0, 1, 2))], StatisticsSettings(tau=0.5))
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for name, want in {
        "normalised_entropy": zero,
        "effective_keys": one,
        "participation": one,
        "gini": one - 1 / 50,
        "coverage": one,
        "top_mass": one,
    }.items():
        # scores of 1e4 are known to this many digits, and some rows have two near the top
        tolerance.assert_close(getattr(found, name).float(), want, roundings=9, largest=3e4)


def test_sorted_rows_are_spread_evenly_and_counted():
    given = attention(2.0, queries=90, keys=90)
    few, every = (
        statistics([(given, (0, 1, 2))], StatisticsSettings(ordered=ordered), block=7)
        for ordered in (30, None)
    )
    assert few.ordered_rows.tolist() == [60] * 3
    assert every.ordered_rows.tolist() == every.rows.tolist() == [180] * 3
    for name in ("entropy", "participation", "distance", "support"):
        assert torch.equal(getattr(few, name), getattr(every, name))
    one_by_one = [
        statistics([(_row(given, row), (0, 1, 2))], StatisticsSettings(ordered=None)).gini
        for row in range(1, 90, 3)
    ]
    want = torch.stack(one_by_one).mean(0)
    tolerance.assert_close(few.gini.float(), want, roundings=200, largest=1.0)


def _row(given, row):
    return ScaledDotWeights(
        batch=2,
        heads=given.heads,
        kv_heads=given.kv_heads,
        rows=given.rows[row : row + 1],
        queries=given.queries,
        keys=given.keys,
        query=given.query[:, :, row : row + 1],
        key=given.key,
        scale=given.scale,
    )


def test_places_of_two_texts_are_no_distance_apart():
    own = attention()
    alone, crossing = (
        statistics([(each, (0, 1, 2))], StatisticsSettings())
        for each in (own, replace(own, self_attention=False))
    )
    assert alone.distance.isfinite().all()
    assert crossing.distance.isnan().all()
    assert torch.equal(crossing.entropy, alone.entropy)


def test_calls_are_summed_up_together():
    first, second = attention(seed=1), attention(seed=2, queries=4, keys=9)
    heads = (2, 0)
    found = statistics([(first, heads), (second, heads)], StatisticsSettings())
    alone = [statistics([(x, heads)], StatisticsSettings()) for x in (first, second)]
    want = (5 * alone[0].entropy + 4 * alone[1].entropy) / 9
    tolerance.assert_close(found.entropy.float(), want, roundings=4, largest=3.0)
    assert found.rows.tolist() == [18, 18]


class Given(Mechanism):
    """States weights that were given to it."""

    def __init__(self, weights):
        super().__init__(heads=3, dim=4)
        self.given = weights

    def forward(self, query, key, value, *, mask=None):
        return self.given @ value

    def weights(self, query, key, *, mask=None):
        return self.given


def test_negative_weights_count_by_size_and_sums_need_not_be_1():
    weights = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    weights[1, 2, 3] = 0.0
    plain = attention()
    given = MechanismWeights(
        batch=2,
        heads=(0, 1, 2),
        kv_heads=(0, 1, 2),
        rows=plain.rows,
        queries=5,
        keys=7,
        self_attention=True,
        mechanism=Given(weights),
        query=plain.query,
        key=plain.key,
        mask=None,
    )
    found = statistics([(given, (0, 1, 2))], StatisticsSettings(sinks=2, top=3, tau=0.8), block=2)
    want = attention_statistics(
        weights.double().numpy(), everyone, lambda i: i + 2, sinks=2, top=3, tau=0.8
    )
    for name in (name for name in NAMES if name != "support"):
        tolerance.assert_close(
            getattr(found, name).float(), torch.from_numpy(want[name]), roundings=40, largest=8.0
        )
    assert found.empty_rows.tolist() == [0, 0, 1]


def test_the_order_of_heads_is_kept():
    given = attention()
    all_heads = statistics([(given, (0, 1, 2))], StatisticsSettings())
    some_heads = statistics([(given, (2, 0))], StatisticsSettings())
    assert torch.equal(some_heads.entropy, all_heads.entropy[[2, 0]])


def test_calls_with_other_heads_are_refused():
    with pytest.raises(UnsupportedError, match=r"must have the same heads .* got 2 after 3"):
        statistics([(attention(), (0, 1, 2)), (attention(), (0, 1))], StatisticsSettings())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sinks": 0}, "sinks must be at least 1, got 0"),
        ({"top": -1}, "top must be at least 1, got -1"),
        ({"ordered": 0}, "ordered must be at least 1, got 0"),
        ({"tau": 0.0}, "tau must be above 0 and at most 1, got 0.0"),
        ({"tau": 1.5}, "tau must be above 0 and at most 1, got 1.5"),
    ],
)
def test_rejects_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        StatisticsSettings(**settings)
