"""Turn heads onto each other, and find those that are alike once turned."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 10


def distances(
    products: Float[Tensor, "heads heads dim dim"], *, pairs: bool = False
) -> Float[Tensor, "heads heads"]:
    """Return how far every two heads are from each other, turned onto each other as well as may be.

    Args:
        products: As in `align`, of all heads.
        pairs: As there.
    """
    sizes = products.diagonal(dim1=-2, dim2=-1).sum(-1).diagonal()
    shared = torch.stack([(row * _nearest(row, pairs)).sum((-2, -1)) for row in products])
    return sizes[:, None] + sizes - 2 * shared


def align(
    products: Float[Tensor, "heads heads dim dim"], *, pairs: bool = False
) -> tuple[Float[Tensor, "heads dim dim"], float]:
    """Return a turn for each head, so that the turned heads are close to their mean, and the error.

    The error is the sum of squares of what separates them from it, at most that without turns.

    Args:
        products: `A_i A_j^T` of what the heads `i` and `j` give on the data.
        pairs: A turn rotates each pair of components `(i, i + dim/2)` and does nothing else.
            Otherwise it may be any orthogonal matrix.

    Source:
        Gower 1975, "Generalized Procrustes analysis", Psychometrika 40.
    """
    heads, dim = products.shape[1:3]
    unturned = torch.eye(dim, dtype=products.dtype, device=products.device).expand(heads, -1, -1)
    found: list[tuple[Tensor, float]] = []
    for turns in (unturned, _nearest(products[0], pairs)):
        for _ in range(ROUNDS):
            turns = _nearest((turns[:, None] @ products).mean(0), pairs)
        found.append((turns, _error(turns, products)))
    return min(found, key=lambda one: one[1])


def regrouped(
    groups: Sequence[Sequence[int]], likeness: Float[Tensor, "heads heads"]
) -> list[list[int]]:
    """Return groups of the same sizes in which heads are closer: swap two as long as that helps."""
    members = torch.tensor(groups, device=likeness.device)
    group = members.new_empty(len(likeness))
    group[members.flatten()] = torch.arange(len(groups), device=members.device).repeat_interleave(
        members.shape[1]
    )
    least = 1e-9 * likeness.sum()  # less is rounding, and could go on forever
    while True:
        inside = torch.nn.functional.one_hot(group, len(groups)).to(likeness)
        toward = likeness @ inside  # of each head, to all heads of each group
        own = toward.gather(1, group[:, None])
        other = toward[:, group]
        gains = own + own.T - other - other.T + 2 * likeness
        gains[group[:, None] == group] = 0
        best = int(gains.argmax())
        if gains.flatten()[best] <= least:
            break
        first, second = divmod(best, len(likeness))
        group[[first, second]] = group[[second, first]]
    order = [(group == name).nonzero().flatten().tolist() for name in range(len(groups))]
    return sorted(order)


def _nearest(cross: Tensor, pairs: bool) -> Tensor:
    """Return the turns that have the largest inner products with these matrices."""
    if not pairs:
        left, _, right = torch.linalg.svd(cross)
        return left @ right
    half = cross.shape[-1] // 2
    first, second = torch.arange(half), torch.arange(half, 2 * half)
    along = cross[..., first, first] + cross[..., second, second]
    across = cross[..., second, first] - cross[..., first, second]
    angle = torch.atan2(across, along)
    turns = torch.zeros_like(cross)
    turns[..., first, first] = turns[..., second, second] = angle.cos()
    turns[..., second, first] = angle.sin()
    turns[..., first, second] = -angle.sin()
    return turns


def _error(turns: Tensor, products: Tensor) -> float:
    turned = turns[:, None] @ products @ turns.mT
    traces = turned.diagonal(dim1=-2, dim2=-1).sum(-1)
    return float(traces.trace() - traces.sum() / len(turns))
