"""The strongest paths are those that all paths, listed one by one, begin with; cuts are cuts."""

import itertools
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, UnsupportedError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.paths import decision_paths
from heedful.explaining.question import NOWHERE
from heedful.probing.replace import replaced

sys.path.insert(0, str(Path(__file__).parent))
from routed import KINDS, routed, stored_maps


def all_paths(asked, target):
    """Every path of a target through heads: `(strength, piece, ((step, head, row, key), ...))`."""
    route, maps = asked.question.route, stored_maps(asked, target)

    def back(step, sequence, place):
        """From a place, as it is behind so many steps."""
        if step == 0:
            known = route.places.get(sequence, ())
            if place < len(known) and known[place] != NOWHERE:
                yield 1.0, known[place], ()
            return
        here = route.steps[step - 1]
        if here.queries != sequence or here.residual:
            yield from back(step - 1, sequence, place)
        if here.queries == sequence:
            weights, gradients = maps[here.site]
            values = (weights * gradients).clamp(min=0)[:, place] / len(weights)
            for head, key in itertools.product(*map(range, values.shape)):
                if values[head, key] > 0:
                    for value, piece, ways in back(step - 1, here.keys, key):
                        way = (step - 1, head, place, key)
                        yield value * float(values[head, key]), piece, (way, *ways)

    size = len(route.places.get(route.answer, (0,)))
    rows = range(size) if route.rows is None else [route.rows[target]]
    for row in rows:
        for value, piece, ways in back(len(route.steps), route.answer, row):
            yield value / len(rows), piece, ways


def place_name(asked, step, key):
    """The piece at a place that is looked at, the target that is read there, or its number."""
    route = asked.question.route
    sequence = route.steps[step].keys
    known = dict(enumerate(route.places.get(sequence, ())))
    if known.get(key, NOWHERE) != NOWHERE:
        return asked.question.pieces[known[key]]
    if sequence == route.answer and route.rows is not None and key in route.rows:
        return asked.question.targets[list(route.rows).index(key)]
    return f"#{key + 1}"


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_the_strongest_of_all(kind):
    asked = routed(kind)
    steps = asked.question.route.steps
    found = decision_paths(asked.model, asked.question, paths=4)
    for target in range(3):
        every = list(all_paths(asked, target))
        total = sum(value for value, _, _ in every)
        best = sorted((p for p in every if p[2]), key=lambda p: -p[0])[:4]
        own = [path for path in found if path.target == target]
        assert [path.piece for path in own] == [piece for _, piece, _ in best]
        assert [path.heads for path in own] == [
            tuple((steps[step].site, head) for step, head, _, _ in ways) for _, _, ways in best
        ]
        assert [path.through for path in own] == [
            tuple(place_name(asked, step, key) for step, _, _, key in ways[:-1])
            for _, _, ways in best
        ]
        shares = [value / total for value, _, _ in best]
        np.testing.assert_allclose([path.strength for path in own], shares, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_all_together_are_gradient_attention(kind):
    asked = routed(kind)
    found = gradient_attention(asked.model, asked.question).weights
    for target in range(3):
        sums = np.zeros(len(asked.question.pieces))
        for value, piece, _ in all_paths(asked, target):
            sums[piece] += value
        np.testing.assert_allclose(found[target], sums, rtol=1e-4)


def scored_without(asked, ways):
    """All scores of a model whose stored weights are 0 along a way."""

    def mix(name, query, key, value, mask, bias=None):
        weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(-1)
        for step, head, row, column in ways:
            if asked.question.route.steps[step].site == name:
                weights[:, head, row, column] = 0.0
        return weights @ value

    with torch.no_grad(), ExitStack() as stack:
        for name in {step.site for step in asked.question.route.steps}:
            module = asked.model.get_submodule(name)
            stack.enter_context(replaced(module, "mix", partial(mix, name)))
        return asked.model(*asked.inputs)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_drop_is_that_of_a_model_without_these_weights(kind):
    asked = routed(kind)
    whole = scored_without(asked, ())
    found = decision_paths(asked.model, asked.question, paths=2)
    for target in range(3):
        best = sorted((p for p in all_paths(asked, target) if p[2]), key=lambda p: -p[0])[:2]
        own = [path.drop for path in found if path.target == target]
        expected = [float(whole[target] - scored_without(asked, ways)[target]) for *_, ways in best]
        np.testing.assert_allclose(own, expected, atol=1e-9)


def test_random_paths_are_drawn_by_the_seed():
    asked = routed("one source")
    first, same, other = (
        [path.random_drop for path in decision_paths(asked.model, asked.question, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other
    assert all(np.isfinite(first))


def test_a_model_is_as_before():
    asked = routed("row")
    asked.model.train()
    decision_paths(asked.model, asked.question, paths=1)
    assert asked.model.training
    assert asked.model.encoder.training


def test_rejects_no_paths_and_no_route():
    asked = routed("row")
    with pytest.raises(ConfigError, match="paths must be at least 1, got 0"):
        decision_paths(asked.model, asked.question, paths=0)
    question = replace(asked.question, route=None)
    with pytest.raises(UnsupportedError, match="must have attention that leads to its input"):
        decision_paths(asked.model, question)
