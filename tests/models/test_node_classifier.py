"""Node classifiers: attention over neighbours is attention with a mask of the edges."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.node_classifier import (
    FeatureEmbedding,
    GatLayers,
    GraphTensors,
    build_classifier,
)
from heedful.nn.neighbours import Neighbours

NODES, FEATURES = 23, 6


def graph(*, chance=0.2):
    """A graph with a hub and a node without any edge, its features, and who sees whom."""
    draw = np.random.default_rng(0)
    pairs = np.triu(draw.random((NODES, NODES)) < chance, 1)
    pairs[0, 1:] = True
    pairs[:, NODES - 1] = False
    pairs = pairs | pairs.T
    features = draw.normal(size=(NODES, FEATURES)) * (draw.random((NODES, FEATURES)) < 0.5)
    rows, columns = np.nonzero(features)
    made = GraphTensors(
        starts=torch.from_numpy(np.searchsorted(rows, np.arange(NODES))),
        columns=torch.from_numpy(columns),
        values=torch.from_numpy(features[rows, columns]).float(),
        edges=torch.from_numpy(np.argwhere(pairs)),
    )
    sees = torch.from_numpy(pairs | np.eye(NODES, dtype=bool))
    return made, torch.from_numpy(features).float(), sees


def test_features_are_embedded_as_by_a_matrix():
    made, features, _ = graph()
    embed = FeatureEmbedding(FEATURES, width=5, dropout=0.5).eval()
    some = torch.tensor([NODES - 1, 0, 7, 8, 4])
    with torch.no_grad():
        embed.bias.normal_()
        wanted = features[some] @ embed.weight + embed.bias
        torch.testing.assert_close(embed(made, some), wanted, rtol=1e-4, atol=1e-5)
        torch.manual_seed(0)
        dropped = torch.stack([embed.train()(made, some) for _ in range(400)]).mean(0)
    torch.testing.assert_close(dropped, wanted, rtol=0, atol=0.5)


@pytest.mark.parametrize("score", ["additive", "scaled_dot", "mean"])
def test_a_layer_reaches_one_edge_far(score):
    made, _, sees = graph(chance=0)
    torch.manual_seed(1)
    layers = GatLayers(width=8, heads=2, layers=1, score=score, dropout=0.3).eval()
    x = torch.randn(NODES, 8, requires_grad=True)
    whole = [Neighbours.of(made.edges, nodes=NODES)]
    for node in (0, 3, NODES - 1):
        (gradient,) = torch.autograd.grad((layers(x, whole)[node] * torch.randn(8)).sum(), x)
        reached = gradient.abs().sum(1).nonzero()[:, 0].tolist()
        assert reached == sees[node].nonzero()[:, 0].tolist()


@pytest.mark.parametrize("name, more", [("gat", {"score": "scaled_dot"}), ("transformer", {})])
def test_what_is_looked_at_is_what_the_last_layer_reads(name, more):
    made, _, sees = graph()
    torch.manual_seed(0)
    more = {**more, "feedforward": 12} if name == "transformer" else more
    sizes = {"features": FEATURES, "labels": 3, "width": 8, "dropout": 0.5, "heads": 2, "layers": 2}
    model = build_classifier(name, **sizes, **more).eval()
    with torch.no_grad():
        seen, weights = model.looks(made, 4)
    assert sorted(seen) == sees[4].nonzero()[:, 0].tolist()
    assert weights.sum().item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", ["gat", "transformer"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_what_can_reach_a_node_gives_what_the_whole_graph_gives(name, layers):
    made, features, _ = graph(chance=0.05)
    torch.manual_seed(0)
    more = {"feedforward": 12} if name == "transformer" else {"score": "additive"}
    sizes = {"features": FEATURES, "labels": 3, "width": 8, "dropout": 0.5, "heads": 2}
    model = build_classifier(name, **sizes, layers=layers, **more).eval()
    whole = [Neighbours.of(made.edges, nodes=NODES)] * layers
    with torch.no_grad():
        x = features @ model.embed.weight + model.embed.bias
        wanted = model.out(model.layers(x, whole))
        for nodes in ([7], [4, 7], [NODES - 1, 4, 4, 0], list(range(NODES))):
            found = model(made, torch.tensor(nodes))
            torch.testing.assert_close(found, wanted[nodes], rtol=1e-4, atol=1e-5)


def test_the_last_layer_may_have_heads_of_its_own():
    settings = {"width": 8, "heads": 4, "layers": 3, "dropout": 0.3}
    for own, wanted in ((None, [4, 4, 4]), (1, [4, 4, 1])):
        layers = GatLayers(**settings, last_heads=own).layers
        assert [layer.attention.heads for layer in layers] == wanted


def test_a_mean_looks_at_nothing():
    made, _, _ = graph()
    sizes = {"features": FEATURES, "labels": 3, "width": 8, "dropout": 0.5, "heads": 2, "layers": 1}
    assert build_classifier("gat", **sizes, score="mean").looks(made, 4) is None


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("gcn", {}, "name must be one of gat, transformer, got 'gcn'"),
        ("gat", {"score": "max"}, "score must be one of additive, scaled_dot, mean, got 'max'"),
        ("gat", {"heads": 3, "score": "additive"}, "heads must divide width, got heads=3, width=8"),
        ("gat", {"last_heads": 3, "score": "scaled_dot"}, "heads must divide width, got heads=3"),
    ],
)
def test_what_cannot_be_built_is_refused(name, changes, message):
    settings = {"width": 8, "dropout": 0.5, "heads": 2, "layers": 1, "score": "mean", **changes}
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_classifier(name, features=FEATURES, labels=3, **settings)
