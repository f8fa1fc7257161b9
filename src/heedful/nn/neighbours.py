"""Attention over the neighbours of each node of a graph, or their mean."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.constant import Constant


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Nodes with about as many neighbours, padded to the same number.

    Args:
        nodes: Their numbers.
        seen: Whom each sees: itself first, then its neighbours, then 0 as often as needed.
        counts: How many each sees.
        mask: Hides what is padded.
    """

    nodes: Int[Tensor, " alike"]
    seen: Int[Tensor, "alike keys"]
    counts: Int[Tensor, " alike"]
    mask: Mask


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Whom each node of a graph sees, or each of its first nodes.

    Args:
        groups: All nodes, those with about as many neighbours together.
        places: Where each node stands when the groups follow each other.
    """

    groups: tuple[Alike, ...]
    places: Int[Tensor, " nodes"]

    @staticmethod
    def of(edges: Int[Tensor, "edges 2"], *, nodes: int) -> "Neighbours":
        """Put nodes with about as many neighbours together.

        Args:
            edges: A node, and another one that it sees; in the order of the first.
            nodes: How many see others; who is seen may have a higher number.
        """
        seen = torch.bincount(edges[:, 0], minlength=nodes)
        first = seen.cumsum(0) - seen
        counts = seen + 1  # of itself, too
        step = 2 ** (torch.log2(counts.double()).long() - 1).clamp(min=0)
        sizes = -(-counts // step) * step
        groups: list[Alike] = []
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            place = torch.arange(size - 1, device=rows.device)
            inside = place < seen[rows, None]
            others = edges[(first[rows, None] + place).clamp(max=max(len(edges) - 1, 0)), 1]
            keys = torch.cat([rows[:, None], others * inside], dim=1)
            mask = Mask.lengths(counts[rows])
            groups.append(Alike(nodes=rows, seen=keys, counts=counts[rows], mask=mask))
        order = torch.cat([group.nodes for group in groups])
        return Neighbours(groups=tuple(groups), places=order.argsort())


def reaching(
    edges: Int[Tensor, "edges 2"],
    asked: Int[Tensor, " asked"],
    *,
    nodes: int,
    layers: int,
) -> tuple[Int[Tensor, " reaching"], list[Neighbours]]:
    """Find what layers of attention over neighbours must compute, so that some nodes are right.

    The last layer computes the nodes asked for, and each one before it those that the next sees.

    Args:
        edges: A node, and another one that it sees.
        asked: Nodes, each once.
        nodes: How many the graph has.
        layers: How many there are.

    Returns:
        The nodes that the first layer reads, and for each layer whom the nodes that it computes
        see. What a layer computes stands first in what it reads, and the nodes asked for first of
        all, so the numbers of nodes are places among those returned.
    """
    number = torch.full((nodes,), -1, device=edges.device)
    found, last = list[Neighbours](), asked
    number[last] = torch.arange(len(last), device=edges.device)
    for _ in range(layers):
        own = edges[number[edges[:, 0]] >= 0]
        fresh = own[:, 1].unique()
        fresh = fresh[number[fresh] < 0]
        number[fresh] = torch.arange(len(last), len(last) + len(fresh), device=edges.device)
        own = number[own]
        found.append(Neighbours.of(own[own[:, 0].argsort(stable=True)], nodes=len(last)))
        last = torch.cat([last, fresh])
    return last, found[::-1]


class NeighbourAttention(nn.Module):
    """Let every node attend to itself and to its neighbours, and to nobody else.

    What `attention` makes of all nodes with a mask of the edges, but computed for neighbours alone:
    nodes with about as many are padded to the same number, at most half as many again.

    Args:
        attention: With any mechanism.

    Source:
        Velickovic et al. 2017, arXiv:1710.10903, section 2.1 (masked attention over neighbours).

    Cost:
        Keys and values are projected once for each edge, not for each node.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention: Attention | Constant = attention

    def forward(
        self, x: Float[Tensor, "reaching width"], neighbours: Neighbours
    ) -> Float[Tensor, "nodes width"]:
        found = [
            self.attention(x[group.nodes, None], x[group.seen], mask=group.mask)[:, 0]
            for group in neighbours.groups
        ]
        return torch.cat(found)[neighbours.places]

    def weights(
        self, x: Float[Tensor, "reaching width"], neighbours: Neighbours, node: int
    ) -> tuple[list[int], Float[Tensor, " keys"]] | None:
        """Return whom a node sees, and the mean weight over heads; `None` where nobody looks."""
        if isinstance(self.attention, Constant):
            return None
        for group in neighbours.groups:
            (rows,) = (group.nodes == node).nonzero(as_tuple=True)
            if len(rows):
                count = int(group.counts[rows])
                seen = group.seen[rows, :count]
                weights = self.attention.weights(x[None, [node]], x[seen])
                return seen[0].tolist(), weights[0, :, 0].mean(0)
        return None


class NeighbourMean(nn.Module):
    """The mean of a node and its neighbours: attention whose weights are all the same.

    Source:
        Hamilton et al. 2017, arXiv:1706.02216, section 3.3 (mean aggregator, as in a graph
        convolution).
    """

    def forward(
        self, x: Float[Tensor, "reaching width"], neighbours: Neighbours
    ) -> Float[Tensor, "nodes width"]:
        found: list[Tensor] = []
        for group in neighbours.groups:
            place = torch.arange(group.seen.shape[1], device=x.device)
            inside = (place < group.counts[:, None])[..., None].to(x.dtype)
            found.append((x[group.seen] * inside).sum(1) / group.counts[:, None].to(x.dtype))
        return torch.cat(found)[neighbours.places]
