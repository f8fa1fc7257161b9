"""Turn heads onto each other, and find those that are alike once turned."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import UnsupportedError

ROUNDS = 10
Turns = Literal["any", "pairs", "none"]


def distances(
    products: Float[Tensor, "heads heads dim dim"], *, turns: Turns = "any"
) -> Float[Tensor, "heads heads"]:
    """Return how far every two heads are from each other, turned onto each other as well as may be.

    Args:
        products: As in `align`, of all heads.
        turns: As there.
    """
    sizes = products.diagonal(dim1=-2, dim2=-1).sum(-1).diagonal()
    shared = torch.stack([(row * _nearest(row, turns)).sum((-2, -1)) for row in products])
    return sizes[:, None] + sizes - 2 * shared


def align(
    products: Float[Tensor, "heads heads dim dim"], *, turns: Turns = "any"
) -> tuple[Float[Tensor, "heads dim dim"], float]:
    """Return a turn for each head, so that the turned heads are close to their mean, and the error.

    The error is the sum of squares of what separates them from it, at most that without turns.

    Args:
        products: `A_i A_j^T` of what the heads `i` and `j` give on the data.
        turns: "any" orthogonal matrix; "pairs": each pair of components `(i, i + dim/2)` may
            rotate, and nothing else; "none": heads stay as they are.

    Source:
        Gower 1975, "Generalized Procrustes analysis", Psychometrika 40.
    """
    heads, dim = products.shape[1:3]
    unturned = torch.eye(dim, dtype=products.dtype, device=products.device).expand(heads, -1, -1)
    found: list[tuple[Tensor, float]] = []
    for turned in (unturned, _nearest(products[0], turns)):
        for _ in range(ROUNDS):
            turned = _nearest((turned[:, None] @ products).mean(0), turns)
        found.append((turned, _error(turned, products)))
    return min(found, key=lambda one: one[1])


def regrouped(
    groups: Sequence[Sequence[int]], likeness: Float[Tensor, "heads heads"]
) -> list[list[int]]:
    """Return groups of the same sizes in which heads are closer: swap two as long as that helps.

    Every swap lowers the sum of the distances inside groups by more than rounding can, so there is
    an end; there are at most as many swaps as pairs of heads.

    Args:
        groups: Of one size.
        likeness: How far every two heads are from each other; the diagonal does not count.

    Raises:
        UnsupportedError: A distance is no number.
    """
    if not bool(likeness.isfinite().all()):
        raise UnsupportedError("distances between heads must be finite, got NaN or inf")
    likeness = likeness.double()
    likeness = (likeness + likeness.T) / 2  # are alike but for rounding
    likeness = likeness.fill_diagonal_(0)
    members = torch.tensor(groups, device=likeness.device)
    group = members.new_empty(len(likeness))
    group[members.flatten()] = torch.arange(len(groups), device=members.device).repeat_interleave(
        members.shape[1]
    )
    least = 1e-9 * likeness.abs().sum()  # less is rounding, and could go on forever
    for _ in range(len(likeness) ** 2):
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


def _nearest(cross: Tensor, turns: Turns) -> Tensor:
    """Return the turns that have the largest inner products with these matrices."""
    if turns == "none":
        return torch.eye(cross.shape[-1], dtype=cross.dtype, device=cross.device).expand_as(cross)
    if turns == "any":
        left, _, right = torch.linalg.svd(cross)
        return left @ right
    half = cross.shape[-1] // 2
    first, second = torch.arange(half), torch.arange(half, 2 * half)
    along = cross[..., first, first] + cross[..., second, second]
    across = cross[..., second, first] - cross[..., first, second]
    angle = torch.atan2(across, along)
    rotations = torch.zeros_like(cross)
    rotations[..., first, first] = rotations[..., second, second] = angle.cos()
    rotations[..., second, first] = angle.sin()
    rotations[..., first, second] = -angle.sin()
    return rotations


def _error(turns: Tensor, products: Tensor) -> float:
    turned = turns[:, None] @ products @ turns.mT
    traces = turned.diagonal(dim1=-2, dim2=-1).sum(-1)
    return float(traces.trace() - traces.sum() / len(turns))
