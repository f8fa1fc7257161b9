"""A label for each node of a graph: attention over neighbours, their mean, or a Transformer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, elu, embedding_bag

from heedful.errors import ConfigError
from heedful.listeners import exported
from heedful.nn.attention import Attention, head_dim
from heedful.nn.blocks import FeedForward, Residual
from heedful.nn.mechanisms.additive import Additive
from heedful.nn.neighbours import NeighbourAttention, NeighbourMean, Neighbours, reaching

Score = Literal["additive", "scaled_dot", "mean"]


@dataclass(frozen=True, kw_only=True)
class GraphTensors:
    """A graph as networks read it.

    Args:
        starts: Where the features of each node begin.
        columns: Numbers of the features that are not 0.
        values: What these are.
        edges: A node, and another one that it sees.
        neighbours: The same of all nodes, for an export.
    """

    starts: Int[Tensor, " nodes"]
    columns: Int[Tensor, " values"]
    values: Float[Tensor, " values"]
    edges: Int[Tensor, "edges 2"]
    neighbours: Neighbours | None = None


class FeatureEmbedding(nn.Module):
    """`features W + b`, of which only the features that are not 0 are read.

    Args:
        features: How many there are.
        width: Size of the vectors.
        dropout: Share of features dropped in training.
    """

    def __init__(self, features: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = dropout
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self, graph: GraphTensors, nodes: Int[Tensor, " some"] | None
    ) -> Float[Tensor, "some width"]:
        """Return the vectors of some nodes, or of all."""
        if nodes is None:
            values = dropout(graph.values, self.dropout, self.training)
            x = embedding_bag(
                graph.columns, self.weight, graph.starts, mode="sum", per_sample_weights=values
            )
            return x + self.bias
        first, end = graph.starts, graph.starts.new_tensor([len(graph.columns)])
        counts = (torch.cat([first[1:], end]) - first)[nodes]
        starts = counts.cumsum(0) - counts
        steps = torch.arange(int(counts.sum()), device=nodes.device)
        places = steps + (first[nodes] - starts).repeat_interleave(counts)
        values = dropout(graph.values[places], self.dropout, self.training)
        x = embedding_bag(
            graph.columns[places], self.weight, starts, mode="sum", per_sample_weights=values
        )
        return x + self.bias


class GatLayers(nn.Module):
    """Layers of attention over neighbours with `elu` between them, as a graph attention network.

    What an attention sums is what it compares: vectors that one matrix has made, so that `value`
    and `out` of it are the identity, and not learned. The matrix of the first layer is the
    caller's embedding, that of the last one what the caller makes of the vectors. Unlike in the
    paper, scores are those of `score`, and the layers are as wide as each other.

    Args:
        width: Size of the vectors.
        heads: Of every attention.
        layers: How many.
        last_heads: Of the last attention; `None` means `heads`. The paper has one on these data.
        score: By what neighbours are weighed: `additive`, `scaled_dot`, or `mean`: all the same.
        dropout: Share dropped of what a layer reads.
        attention_dropout: Share of weights dropped, of scaled dot products.

    Raises:
        ConfigError: `score` is unknown, or `heads` or `last_heads` does not divide `width`.
        UnsupportedError: `attention_dropout` is above 0 with additive scores.

    Source:
        Velickovic et al. 2017, arXiv:1710.10903, section 2.1.
        Brody et al. 2021, arXiv:2105.14491, section 3 (scores that depend on who looks).
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        layers: int,
        last_heads: int | None = None,
        score: Score = "scaled_dot",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if score not in get_args(Score):
            raise ConfigError(f"score must be one of {', '.join(get_args(Score))}, got {score!r}")
        make = partial(_attention, width, score=score, share=attention_dropout)
        counts = [heads] * (layers - 1) + [heads if last_heads is None else last_heads]
        self.layers = nn.ModuleList(
            NeighbourMean() if score == "mean" else NeighbourAttention(make(count))
            for count in counts
        )
        self.between = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 2))
        self.dropout = dropout

    def forward(
        self, x: Float[Tensor, "reaching width"], neighbours: Sequence[Neighbours]
    ) -> Float[Tensor, "nodes width"]:
        for number, (layer, seen) in enumerate(zip(self.layers, neighbours, strict=True)):
            if number:
                x = dropout(elu(x), self.dropout, self.training)
            if 0 < number < len(self.layers) - 1:
                x = self.between[number - 1](x)
            x = layer(x, seen)
        return x


class GraphTransformer(nn.Module):
    """Layers of attention over neighbours and feed-forward, with residual paths and norms.

    Unlike in the paper, norms are those of layers, before each sublayer, and nothing says where a
    node is.

    Args:
        width: Size of the vectors.
        heads: Of every attention.
        layers: How many.
        feedforward: Hidden size of the feed-forward parts.
        dropout: Share dropped of what sublayers add.

    Raises:
        ConfigError: `heads` does not divide `width`.

    Source:
        Dwivedi and Bresson 2020, arXiv:2012.09699, section 2.2.
    """

    def __init__(
        self, *, width: int, heads: int, layers: int, feedforward: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            NeighbourAttention(Attention(width=width, heads=heads)) for _ in range(layers)
        )
        self.feedforwards = nn.ModuleList(
            FeedForward(width, hidden=feedforward) for _ in range(layers)
        )
        self.residuals = nn.ModuleList(
            Residual(width, norm="pre", dropout=dropout) for _ in range(2 * layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "reaching width"], neighbours: Sequence[Neighbours]
    ) -> Float[Tensor, "nodes width"]:
        for number, (attention, feedforward, seen) in enumerate(
            zip(self.layers, self.feedforwards, neighbours, strict=True)
        ):
            looks, thinks = (cast(Residual, self.residuals[2 * number + i]) for i in (0, 1))
            new = looks.dropout(attention(looks.norm(x), seen))
            x = thinks((x[: len(new)] + new)[None], feedforward)[0]
        return self.norm(x)


class NodeClassifier(nn.Module):
    """Logits of each node of a graph: `out(layers(embed(features)))`.

    Args:
        layers: Called with vectors of all nodes and their surroundings.
        features: How many there are.
        labels: How many there are.
        width: Size of the vectors.
        dropout: Share dropped of features.
    """

    def __init__(
        self,
        layers: GatLayers | GraphTransformer,
        *,
        features: int,
        labels: int,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = FeatureEmbedding(features, width=width, dropout=dropout)
        self.layers = layers
        self.out = nn.Linear(width, labels)

    def forward(
        self, graph: GraphTensors, nodes: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch labels"]:
        """Return the logits of some nodes; only what can reach them is computed, but in an export.

        Args:
            graph: Which it is.
            nodes: Those that are asked for.
        """
        if exported() and graph.neighbours is not None:
            # what is written down once cannot choose by the nodes asked for
            all_of_them = [graph.neighbours] * len(self.layers.layers)
            return self.out(self.layers(self.embed(graph, None), all_of_them))[nodes]
        asked, places = nodes.unique(return_inverse=True)
        read, neighbours = self._reaching(graph, asked)
        return self.out(self.layers(self.embed(graph, read), neighbours))[places]

    def looks(self, graph: GraphTensors, node: int) -> tuple[list[int], Tensor] | None:
        """Return whom a node looks at in the last layer, and how much: the mean over heads."""
        last, given = self.layers.layers[-1], list[Tensor]()
        if not isinstance(last, NeighbourAttention):
            return None
        asked = torch.tensor([node], device=graph.starts.device)
        handle = last.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        try:
            self(graph, asked)
        finally:
            handle.remove()
        read, neighbours = self._reaching(graph, asked)
        found = last.weights(given[0], neighbours[-1], 0)
        return None if found is None else (read[found[0]].tolist(), found[1])

    def _reaching(self, graph: GraphTensors, asked: Tensor) -> tuple[Tensor, list[Neighbours]]:
        layers = len(self.layers.layers)
        return reaching(graph.edges, asked, nodes=len(graph.starts), layers=layers)


def build_classifier(
    name: str, *, features: int, labels: int, width: int, dropout: float, **settings: Any
) -> NodeClassifier:
    """Make a classifier from plain settings.

    Args:
        name: `gat` or `transformer`.
        features: How many there are.
        labels: How many there are.
        width: Size of the vectors.
        dropout: Of all parts.
        settings: Of the layers.

    Raises:
        ConfigError: `name` is unknown, or settings do not fit each other.
    """
    if name not in LAYERS:
        raise ConfigError(f"name must be one of {', '.join(LAYERS)}, got {name!r}")
    layers = LAYERS[name](width=width, dropout=dropout, **settings)
    return NodeClassifier(layers, features=features, labels=labels, width=width, dropout=dropout)


LAYERS: dict[str, Callable[..., Any]] = {"gat": GatLayers, "transformer": GraphTransformer}


def _attention(width: int, heads: int, *, score: Score, share: float) -> Attention:
    """Attention that sums the vectors themselves."""
    dim = head_dim(width=width, heads=heads)
    mechanism = Additive(heads=heads, dim=dim) if score == "additive" else None
    attention = Attention(width=width, heads=heads, dropout=share, mechanism=mechanism)
    for linear in (attention.value, attention.out):
        nn.init.eye_(linear.weight)
        linear.requires_grad_(requires_grad=False)
    return attention
