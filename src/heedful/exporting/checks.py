"""Do other programs say what torch says? On real inputs, in several sizes."""

import statistics
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


def check(graph: Graph, run: Callable[[Tensors], Sequence[Tensor]], *, int8: bool = False) -> Check:
    """Compare what another program makes of every case with what torch makes of it.

    Args:
        graph: With its cases.
        run: The other program.
        int8: Does it round to 8 bits? A number that is rounded the other way can move all that is
            said of its row, by a tenth and more; so it is the middle one of all rows that counts.

    Raises:
        VerificationError: They are further apart than rounding explains.
    """
    difference = size = most_allowed = 0.0
    shares: list[float] = []
    allowed = ONE_STEP if int8 else ROUNDING
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
            gaps, most = _gaps(ours, theirs)
            wider = torch.finfo(ours.dtype).eps / torch.finfo(torch.float32).eps
            bound, gap = allowed * wider * max(most, 1.0), max(gaps)
            shares += [each / bound for each in gaps]
            if gap > bound and not int8:
                raise VerificationError(
                    f"{graph.name} must say what torch says within {bound:.2g}, got {name} "
                    f"{gap:.2g} apart"
                )
            difference, size = max(difference, gap), max(size, most)
            most_allowed = max(most_allowed, bound)
    if shares and statistics.median(shares) > 1:
        raise VerificationError(
            f"{graph.name} must say what torch says in most rows, got a middle one "
            f"{statistics.median(shares):.2g} times as far apart as one step of 8 bits"
        )
    return Check(
        graph=graph.name,
        cases=len(graph.cases),
        largest_difference=difference,
        largest_value=size,
        allowed=most_allowed,
    )


def _gaps(ours: Tensor, theirs: Tensor) -> tuple[list[float], float]:
    """How far each row is apart at most, and the largest number; what is no number is left out."""
    finite = ours.isfinite()
    apart = torch.where(finite, ours - theirs, 0).abs()
    rows = apart.reshape(len(apart), -1) if apart.ndim else apart.reshape(1, 1)
    return rows.amax(1).tolist(), float(torch.where(finite, ours, 0).abs().max())


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Are whole numbers the same, and what is no number no number on both sides?"""
    if not ours.is_floating_point():
        return torch.equal(ours, theirs)
    finite = ours.isfinite()
    return bool((finite == theirs.isfinite()).all()) and torch.equal(
        ours[~finite].nan_to_num(), theirs[~finite].nan_to_num()
    )
