"""Why a node has its label: itself and its neighbours."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from heedful.tasks.classify_node.nodes import Known


@pytest.fixture
def asked(ask):
    return partial(ask, "classify-node", data={"nodes": 120, "labels": 3, "train_share": 0.3})


MODELS = {
    "gat": {"name": "gat", "width": 8, "heads": 2},
    "mean": {"name": "gat", "width": 8, "score": "mean"},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_part_of_the_graph_is_enough(asked, name):
    task, model, example, question = asked(model=MODELS[name])
    graph, own = task.known.graph, task.known.numbers[example.id]
    neighbours = graph.edges[graph.edges[:, 0] == own, 1]
    assert question.pieces[0] == example.id
    assert set(question.pieces) == {example.id, *(graph.ids[each] for each in neighbours)}
    with torch.inference_mode():
        whole = task.logits(model, task.encode([example]).batch([0], "cpu"))[0]
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    label = task.labels[question.targets[0]]
    odds = whole[label] - whole[torch.arange(len(whole)) != label].logsumexp(0)
    found = question.scores(model, question.inputs(kept))[0, 0]
    torch.testing.assert_close(found, odds, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("removed", [[0], [1], [0, 2], [1, 3, -1]])
def test_copies_are_those_of_a_graph_without_the_pieces(asked, removed):
    """Of all nodes but the one asked about the edges go, and of all the features."""
    task, model, example, question = asked(model=MODELS["gat"])
    graph, kept = task.known.graph, torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, removed] = False
    gone = np.array([task.known.numbers[question.pieces[each]] for each in removed])
    starts = np.cumsum(
        [0, *np.where(np.isin(np.arange(len(graph)), gone), 0, np.diff(graph.starts))]
    )
    there = ~np.isin(np.repeat(np.arange(len(graph)), np.diff(graph.starts)), gone)
    cut = gone[gone != task.known.numbers[example.id]]
    rest = replace(
        graph,
        starts=starts,
        columns=graph.columns[there],
        values=graph.values[there],
        edges=graph.edges[~np.isin(graph.edges, cut).any(1)],
    )
    found = question.scores(model, question.inputs(kept))
    task.known = Known(rest)
    with torch.inference_mode():
        logits = task.logits(model, task.encode([example]).batch([0], "cpu"))[0]
    label = task.labels[question.targets[0]]
    odds = logits[label] - logits[torch.arange(len(logits)) != label].logsumexp(0)
    torch.testing.assert_close(found[1, 0], odds, atol=1e-4, rtol=1e-4)
    assert found[0, 0] != found[1, 0]
