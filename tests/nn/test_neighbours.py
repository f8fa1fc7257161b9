"""Attention over neighbours is attention with a mask of the edges, of which little is padded."""

import numpy as np
import pytest
import torch

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.constant import Constant
from heedful.nn.mechanisms.additive import Additive
from heedful.nn.neighbours import NeighbourAttention, NeighbourMean, Neighbours, reaching

NODES = 23


def graph():
    """A graph with a hub and a node without any edge, and who sees whom, every node itself."""
    pairs = np.triu(np.random.default_rng(0).random((NODES, NODES)) < 0.2, 1)
    pairs[0, 1:] = True
    pairs[:, NODES - 1] = False
    pairs = pairs | pairs.T
    neighbours = Neighbours.of(torch.from_numpy(np.argwhere(pairs)), nodes=NODES)
    return neighbours, torch.from_numpy(pairs | np.eye(NODES, dtype=bool))


def test_every_node_is_in_one_group_and_little_is_padded():
    neighbours, sees = graph()
    rows = torch.cat([group.nodes for group in neighbours.groups])
    assert rows.sort().values.tolist() == list(range(NODES))
    assert rows[neighbours.places].tolist() == list(range(NODES))
    for group in neighbours.groups:
        size = group.seen.shape[1]
        for node, seen, count in zip(group.nodes, group.seen, group.counts, strict=True):
            assert seen[0] == node
            assert sorted(seen[:count].tolist()) == sees[node].nonzero()[:, 0].tolist()
            assert count <= size < 1.5 * count + 1
            assert not seen[count:].any()


@pytest.mark.parametrize("additive", [True, False])
def test_it_is_attention_with_a_mask_of_the_edges(additive):
    neighbours, sees = graph()
    torch.manual_seed(1)
    mechanism = Additive(heads=2, dim=4) if additive else None
    attention = Attention(width=8, heads=2, mechanism=mechanism)
    x = torch.randn(NODES, 8, requires_grad=True)
    found = NeighbourAttention(attention)(x, neighbours)
    wanted = attention(x[None], mask=Mask.dense(sees))[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    direction = torch.randn(NODES, 8)
    one, other = (torch.autograd.grad((y * direction).sum(), x)[0] for y in (found, wanted))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_weights_are_those_of_the_mask():
    neighbours, sees = graph()
    torch.manual_seed(1)
    attention = Attention(width=8, heads=2)
    x = torch.randn(NODES, 8)
    with torch.no_grad():
        wanted = attention.weights(x[None], mask=Mask.dense(sees))[0].mean(0)
        for node in range(NODES):
            seen, weights = NeighbourAttention(attention).weights(x, neighbours, node)
            torch.testing.assert_close(weights, wanted[node, seen], rtol=1e-4, atol=1e-5)
            assert weights.sum().item() == pytest.approx(1, rel=1e-4)
    dropped = NeighbourAttention(attention)
    dropped.attention = Constant(8)
    assert dropped(x, neighbours).shape == (NODES, 8)
    assert dropped.weights(x, neighbours, 0) is None


def test_the_mean_is_that_of_a_node_and_its_neighbours():
    neighbours, sees = graph()
    layer, x = NeighbourMean(), torch.randn(NODES, 8)
    wanted = torch.stack([x[sees[node]].mean(0) for node in range(NODES)])
    torch.testing.assert_close(layer(x, neighbours), wanted, rtol=1e-4, atol=1e-5)


def test_a_graph_without_edges_is_a_graph():
    alone = Neighbours.of(torch.zeros(0, 2, dtype=torch.long), nodes=3)
    x, attention = torch.randn(3, 8), Attention(width=8, heads=2)
    wanted = attention(x[:, None])[:, 0]
    torch.testing.assert_close(NeighbourAttention(attention)(x, alone), wanted)


@pytest.mark.parametrize("asked", [[3], [NODES - 1, 5, 1], [0]])
def test_a_layer_computes_what_the_next_one_sees(asked):
    _, sees = graph()
    sees[0, 8:NODES] = sees[8:NODES, 0] = False  # else two steps reach all
    edges = (sees & ~torch.eye(NODES, dtype=torch.bool)).nonzero()
    read, layers = reaching(edges, torch.tensor(asked), nodes=NODES, layers=2)
    assert read[: len(asked)].tolist() == asked
    computed = set(asked)
    for layer in reversed(layers):
        reached = {other for node in computed for other in sees[node].nonzero()[:, 0].tolist()}
        assert len(layer.places) == len(computed)
        for group in layer.groups:
            for node, seen, count in zip(group.nodes, group.seen, group.counts, strict=True):
                own = read[seen[:count]].tolist()
                assert own[0] == read[node]
                assert sorted(own) == sees[read[node]].nonzero()[:, 0].tolist()
        assert set(read[: len(reached)].tolist()) == reached
        computed = reached
    assert set(read.tolist()) == computed
