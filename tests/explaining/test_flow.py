"""Attention flow is what another library's flow finds in a graph built by hand."""

import sys
from pathlib import Path

import networkx
import numpy as np
import pytest

from heedful.errors import MissingExtraError, UnsupportedError
from heedful.explaining import flow as module
from heedful.explaining.flow import flow
from heedful.explaining.question import NOWHERE

sys.path.insert(0, str(Path(__file__).parent))
from routed import KINDS, routed, stored_maps


def by_networkx(asked, target):
    """Nodes are `(sequence, steps that looked from it, place)`."""
    route, maps = asked.question.route, stored_maps(asked, target)
    graph, made = networkx.DiGraph(), {}
    for step in route.steps:
        weights = maps[step.site][0].mean(0).tolist()
        version = {name: made.setdefault(name, 0) for name in (step.queries, step.keys)}
        share = 0.5 if step.residual else 1.0
        for row, line in enumerate(weights):
            here = (step.queries, version[step.queries] + 1, row)
            if step.residual:
                graph.add_edge(here, (step.queries, version[step.queries], row), capacity=share)
            for key, weight in enumerate(line):
                there = (step.keys, version[step.keys], key)
                before = graph.edges[here, there]["capacity"] if graph.has_edge(here, there) else 0
                graph.add_edge(here, there, capacity=before + share * weight)
        made[step.queries] += 1
    for name, places in route.places.items():
        for place, piece in enumerate(places):
            if piece != NOWHERE:
                graph.add_edge((name, 0, place), piece)  # as wide as can be
    last = (route.answer, made[route.answer])
    source = "read"
    if route.rows is None:
        for place in range(len(route.places.get(route.answer, (0,)))):
            share = 1 / len(route.places.get(route.answer, (0,)))
            graph.add_edge(source, (*last, place), capacity=share)
    else:
        source = (*last, route.rows[target])
    pieces = range(len(asked.question.pieces))
    return [networkx.maximum_flow_value(graph, source, piece) for piece in pieces]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_largest_flow(kind):
    asked = routed(kind)
    found = flow(asked.model, asked.question)
    for target in range(3):
        np.testing.assert_allclose(found.weights[target], by_networkx(asked, target), atol=1e-5)
    assert found.weights.max() > 0.01
    assert found.error < 1e-12


def test_a_graph_that_is_too_large_is_refused(monkeypatch):
    asked = routed("row")
    monkeypatch.setattr(module, "MOST_EDGES", 100)
    with pytest.raises(UnsupportedError, match=r"at most 100 weights, got \d+ or more"):
        flow(asked.model, asked.question)


def test_without_scipy_the_extra_is_named(monkeypatch):
    asked = routed("row")
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'heedful\[explain\]'"):
        flow(asked.model, asked.question)
