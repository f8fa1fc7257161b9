"""Why a node has its label: itself and its neighbours."""

from functools import partial

import pytest
import torch


@pytest.fixture
def asked(ask):
    return partial(ask, "classify-node", data={"nodes": 120, "labels": 3, "train": 0.3})


MODELS = {
    "gat": {"name": "gat", "width": 8, "heads": 2},
    "mean": {"name": "gat", "width": 8, "score": "mean"},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_part_of_the_graph_is_enough(asked, name):
    task, model, example, question = asked(model=MODELS[name])
    graph, own = task.known.graph, task.known.numbers[example.id]
    neighbours = graph.edges[graph.edges[:, 0] == own, 1]
    assert set(question.pieces) == {example.id, *(graph.ids[each] for each in neighbours)}
    with torch.inference_mode():
        whole = task.logits(model, task.encode([example]).batch([0], "cpu"))[0]
    kept = torch.ones(1, len(question.pieces), dtype=torch.bool)
    label = task.labels[question.targets[0]]
    odds = whole[label] - whole[torch.arange(len(whole)) != label].logsumexp(0)
    found = question.scores(model, question.inputs(kept))[0, 0]
    torch.testing.assert_close(found, odds, atol=1e-4, rtol=1e-4)


def test_without_a_neighbour_is_as_if_it_were_not_linked(asked):
    _, model, _, question = asked(model=MODELS["gat"])
    kept = torch.ones(2, len(question.pieces), dtype=torch.bool)
    kept[1, 1] = False
    whole, part = question.scores(model, question.inputs(kept))[:, 0].tolist()
    assert whole != part
