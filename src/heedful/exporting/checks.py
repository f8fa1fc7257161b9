"""Do other programs say what torch says? On real inputs, in several sizes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.errors import VerificationError
from heedful.exporting.graph import Graph, Tensors

ROUNDINGS = 2**8  # of the largest number: what sums in another order may differ by


@dataclass(frozen=True, kw_only=True)
class Check:
    """How far two programs were apart.

    Args:
        graph: Which one.
        cases: Calls that were compared, of several sizes.
        largest_difference: Of any two numbers.
        largest_value: Of what torch said.
        allowed: How far they might have been apart.
    """

    graph: str
    cases: int
    largest_difference: float
    largest_value: float
    allowed: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def check(graph: Graph, run: Callable[[Tensors], Sequence[Tensor]]) -> Check:
    """Compare what another program makes of every case with what torch makes of it.

    Args:
        graph: With its cases.
        run: The other program.

    Raises:
        VerificationError: They are further apart than rounding explains.
    """
    difference = size = allowed = 0.0
    for case in graph.cases:
        want, got = graph.run(case), run(case)
        for name, ours, theirs in zip(graph.outputs, want, got, strict=True):
            if ours.shape != theirs.shape or not _alike(ours, theirs):
                raise VerificationError(
                    f"{graph.name} must say what torch says, got {name} as {theirs!r:.200} "
                    f"for {ours!r:.200}"
                )
            if not ours.is_floating_point() or not ours.numel():
                continue
            finite = ours.isfinite()
            gap = float((ours - theirs)[finite].abs().max()) if bool(finite.any()) else 0.0
            most = float(ours[finite].abs().max()) if bool(finite.any()) else 0.0
            bound = ROUNDINGS * torch.finfo(ours.dtype).eps * max(most, 1.0)
            if gap > bound:
                raise VerificationError(
                    f"{graph.name} must say what torch says within {bound:.2g}, got {name} "
                    f"{gap:.2g} apart"
                )
            difference, size, allowed = max(difference, gap), max(size, most), max(allowed, bound)
    return Check(
        graph=graph.name,
        cases=len(graph.cases),
        largest_difference=difference,
        largest_value=size,
        allowed=allowed,
    )


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Are whole numbers the same, and what is no number no number on both sides?"""
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    finite = ours.isfinite()
    return bool((finite == theirs.isfinite()).all()) and torch.equal(
        ours[~finite].nan_to_num(), theirs[~finite].nan_to_num()
    )
