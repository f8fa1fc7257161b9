"""Every aligner is its formula, and remembers what its paper says."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import ALIGNERS
from heedful.nn.aligners import Aligner, Location, aligner
from heedful.testing import oracle
from heedful.testing.tolerance import assert_close, roundings

QUERY, KEY, HIDDEN = 4, 6, 3
BATCH, QUERIES, KEYS = 2, 5, 7
LENGTHS = torch.tensor([4, 7])
STEPWISE = ["coverage", "location"]


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(name):
    """An aligner in which every number is random, biases too."""
    built = aligner(name, query_width=QUERY, key_width=KEY, hidden=HIDDEN).double()
    for seed, parameter in enumerate(built.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10))
    return built


def numpy(tensor):
    return tensor.detach().numpy()


def linear(module, x):
    """The projection in numpy, with a head axis: `(batch, 1, length, hidden)`."""
    y = numpy(x) @ numpy(module.weight).T
    return (y if module.bias is None else y + numpy(module.bias))[:, None]


def expected(name, built, queries, keys, history):
    """The weights by the oracle, from the parameters and what is written in the docstrings."""

    def sees(b, h, i, j):
        return j < LENGTHS[b]

    value = numpy(keys)[:, None]
    if name == "dot":
        weights, _ = oracle.dot(numpy(queries)[:, None], linear(built.key, keys), value, sees)
    elif name == "general":
        weight = numpy(built.weight)
        weights, _ = oracle.general(numpy(queries)[:, None], value, value, sees, weight=weight)
    else:
        extras = {}
        if name != "scaled_dot":
            extras["score_weight"] = numpy(built.score)
        if name == "location":
            extras["location_weight"], extras["kernel"] = (
                numpy(built.location),
                numpy(built.kernel),
            )
            extras["previous"] = numpy(history)[:, None]
        if name == "coverage":
            extras["coverage_weight"] = numpy(built.coverage)
            extras["coverage"] = numpy(history)[:, None]
        query, key = linear(built.query, queries), linear(built.key, keys)
        weights, _ = getattr(oracle, name)(query, key, value, sees, **extras)
    return torch.from_numpy(weights[:, 0])


def close(actual, want):
    limit = roundings(want.dtype, KEY, KEY, 56, KEYS)  # 56: filters times size of the kernel
    assert_close(actual, want, roundings=limit, largest=4.0)  # scores of a few units, exponentiated


@pytest.mark.parametrize("name", ALIGNERS)
def test_matches_float64_oracle(name):
    built = build(name)
    queries, keys = draw(BATCH, QUERIES, QUERY), draw(BATCH, KEYS, KEY, seed=2)
    prepared, mask = built.prepare(keys), Mask.lengths(LENGTHS)
    history, past = None, torch.zeros(BATCH, KEYS, dtype=torch.float64)
    if name not in STEPWISE:
        weights = built(queries, prepared, mask=mask)
        close(weights, expected(name, built, queries, keys, past))
        assert built.remember(None, weights) is None
        return
    for step in range(QUERIES):
        query = queries[:, step : step + 1]
        weights = built(query, prepared, mask=mask, history=history)
        want = expected(name, built, query, keys, past)
        close(weights, want)
        history = built.remember(history, weights)
        past = want[:, 0] if name == "location" else past + want[:, 0]
        close(history, past)


def test_only_those_that_remember_go_step_by_step():
    assert [name for name, kind in ALIGNERS.items() if kind.stepwise] == STEPWISE
    assert all(issubclass(kind, Aligner) for kind in ALIGNERS.values())


@pytest.mark.parametrize("name", ALIGNERS)
def test_all_queries_at_once_equal_one_at_a_time(name):
    if name in STEPWISE:
        pytest.skip("takes one query at a time")
    built = build(name)
    queries, mask = draw(BATCH, QUERIES, QUERY), Mask.lengths(LENGTHS)
    prepared = built.prepare(draw(BATCH, KEYS, KEY, seed=2))
    each = [built(query, prepared, mask=mask) for query in queries.split(1, 1)]
    close(torch.cat(each, 1), built(queries, prepared, mask=mask))


@pytest.mark.parametrize("name", ALIGNERS)
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    built = aligner(name, query_width=QUERY, key_width=KEY, hidden=HIDDEN).double()
    prepared, history = built.prepare(draw(BATCH, KEYS, KEY, seed=2)), None
    loss = torch.zeros((), dtype=torch.float64)
    for query in draw(BATCH, QUERIES, QUERY).split(1, 1):
        weights = built(query, prepared, mask=Mask.lengths(LENGTHS), history=history)
        history = built.remember(history, weights)
        loss = loss + weights.square().sum()
    loss.backward()
    for parameter_name, parameter in built.named_parameters():
        assert parameter.grad.abs().max() > 0, parameter_name


def test_dot_projects_only_where_it_must():
    assert not list(aligner("dot", query_width=4, key_width=4, hidden=3).parameters())
    assert len(list(aligner("dot", query_width=4, key_width=6, hidden=3).parameters())) == 1


def test_coverage_in_half_precision_does_not_stop_growing():
    built = aligner("coverage", query_width=QUERY, key_width=KEY, hidden=HIDDEN).bfloat16()
    weights, history = torch.full((1, 1, 5), 1 / 512, dtype=torch.bfloat16), None
    for _ in range(1024):
        history = built.remember(history, weights)
    assert history.tolist() == [[2.0] * 5]
    prepared = built.prepare(draw(1, 5, KEY).bfloat16())
    query, mask = draw(1, 1, QUERY).bfloat16(), Mask.full()
    assert built(query, prepared, mask=mask, history=history).dtype == torch.bfloat16


def test_location_takes_its_filters_as_settings():
    built = Location(query_width=QUERY, key_width=KEY, hidden=HIDDEN, filters=2, kernel=5)
    assert built.kernel.shape == (2, 1, 5)
    assert built.location.shape == (1, 2, HIDDEN)


def test_none_builds_nothing():
    assert aligner("none", query_width=QUERY, key_width=KEY, hidden=HIDDEN) is None


def test_an_unknown_name_lists_the_known_ones():
    message = re.escape(
        "attention must be one of additive, coverage, dot, general, location, scaled_dot, none, "
        "got 'concat'"
    )
    with pytest.raises(ConfigError, match=message):
        aligner("concat", query_width=QUERY, key_width=KEY, hidden=HIDDEN)
