"""Do other programs say what torch says? On real inputs, in several sizes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.errors import VerificationError
from heedful.exporting.graph import Graph, Tensors

# shares of the largest number
ROUNDING = 2**8 * torch.finfo(torch.float32).eps  # what sums in another order may differ by
ONE_STEP = 1 / 127  # what numbers may differ by that are rounded to 8 bits on the way


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


def check(
    graph: Graph, run: Callable[[Tensors], Sequence[Tensor]], *, allowed: float = ROUNDING
) -> Check:
    """Compare what another program makes of every case with what torch makes of it.

    Args:
        graph: With its cases.
        run: The other program.
        allowed: How far they may be apart in float32, as a share of the largest number.

    Raises:
        VerificationError: They are further apart than rounding explains.
    """
    difference = size = most_allowed = 0.0
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
            wider = torch.finfo(ours.dtype).eps / torch.finfo(torch.float32).eps
            bound = allowed * wider * max(most, 1.0)
            if gap > bound:
                raise VerificationError(
                    f"{graph.name} must say what torch says within {bound:.2g}, got {name} "
                    f"{gap:.2g} apart"
                )
            difference, size = max(difference, gap), max(size, most)
            most_allowed = max(most_allowed, bound)
    return Check(
        graph=graph.name,
        cases=len(graph.cases),
        largest_difference=difference,
        largest_value=size,
        allowed=most_allowed,
    )


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Are whole numbers the same, and what is no number no number on both sides?"""
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    finite = ours.isfinite()
    return bool((finite == theirs.isfinite()).all()) and torch.equal(
        ours[~finite].nan_to_num(), theirs[~finite].nan_to_num()
    )
