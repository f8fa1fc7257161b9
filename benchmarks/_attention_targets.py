"""What attention on the CPU sets out to reach, as data, and whether measurements reach it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from heedful.bench.attention.row import Measurement, Row
from heedful.bench.attention.table import LEAST_SDPA_MS, scaling_efficiency

NEVER_BELOW = 0.97  # of SDPA's speed, whatever the shape
NEEDS = "avx512bf16"  # the instruction set for which the targets are


@dataclass(frozen=True, kw_only=True)
class Target:
    """A limit that every row of some kind must keep.

    Args:
        text: What is to be reached, for people.
        case: The case of the rows.
        counts: Which of them.
        value: The number that is compared.
        limit: With what.
        side: Whether the number must not lie below the limit or not above it.
        everywhere: Promised on every processor.
    """

    text: str
    case: str
    value: Callable[[Measurement], float | None]
    limit: float
    side: Literal["at least", "at most"] = "at least"
    counts: Callable[[Row], bool] = lambda row: True
    everywhere: bool = False

    def met(self, value: float) -> bool:
        """Does a number keep the limit?"""
        return value >= self.limit if self.side == "at least" else value <= self.limit


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a target is met.

    Args:
        target: It.
        rows: How many rows count.
        missed: How many of them miss it.
        worst: The number farthest on the wrong side, or nearest to it; `None` without rows.
        row: Where that is.
    """

    target: Target
    rows: int
    missed: int
    worst: float | None
    row: Row | None

    @property
    def word(self) -> str:
        if self.worst is None:
            return "not measured"
        return "met" if self.missed == 0 else f"missed by {self.missed} of {self.rows}"


def _speedup(one: Measurement) -> float | None:
    return one.row.speedup


def _fraction(one: Measurement) -> float | None:
    return one.row.matrix_fraction


def _error(one: Measurement) -> float | None:
    return one.row.error


def _of_sdpa_error(one: Measurement) -> float | None:
    return None if not one.row.sdpa_error else (one.row.error or 0) / one.row.sdpa_error


def _of_dense(one: Measurement) -> float | None:
    return None if one.of_dense is None else one.of_dense.median


def _of_dense_speedup(one: Measurement) -> float | None:
    if one.dense is None or not one.dense.speedup or one.row.speedup is None:
        return None
    return one.row.speedup / one.dense.speedup


TARGETS = (
    Target(
        text="dense bf16 forward: at least 3.5x SDPA",
        case="dense",
        value=_speedup,
        limit=3.5,
        counts=lambda row: row.dtype == "bf16",
    ),
    Target(
        text="dense bf16 forward, D = 64, N >= 1k: at least 4x SDPA",
        case="dense",
        value=_speedup,
        limit=4.0,
        counts=lambda row: row.dtype == "bf16" and row.dim == 64 and row.keys >= 1024,
    ),
    Target(
        text="dense bf16 forward, N >= 4k: at least 80 % of the matrix rate",
        case="dense",
        value=_fraction,
        limit=0.8,
        counts=lambda row: row.dtype == "bf16" and row.keys >= 4096,
    ),
    Target(
        text="dense fp32 forward, N >= 1k: at least 2x SDPA",
        case="dense",
        value=_speedup,
        limit=2.0,
        counts=lambda row: row.dtype == "fp32" and row.keys >= 1024,
    ),
    Target(
        text="dense fp32 forward: error at most twice SDPA's",
        case="dense",
        value=_of_sdpa_error,
        limit=2.0,
        side="at most",
        counts=lambda row: row.dtype == "fp32",
    ),
    Target(
        text="causal forward, N >= 4k: at most 0.55 of our own dense time",
        case="causal",
        value=_of_dense,
        limit=0.55,
        side="at most",
        counts=lambda row: row.causal and row.keys >= 4096,
    ),
    Target(
        text="causal forward, N >= 4k: as many times faster than SDPA as dense, within 5 %",
        case="causal",
        value=_of_dense_speedup,
        limit=0.95,
        counts=lambda row: row.causal and row.keys >= 4096,
    ),
    Target(
        text="forward + backward bf16, N >= 1k: at least 2.2x SDPA",
        case="backward",
        value=_speedup,
        limit=2.2,
        counts=lambda row: row.dtype == "bf16",
    ),
    Target(
        text="forward + backward fp32, N >= 1k: at least 1.5x SDPA",
        case="backward",
        value=_speedup,
        limit=1.5,
        counts=lambda row: row.dtype == "fp32",
    ),
    Target(
        text="block-sparse forward, N = 8k: at least 0.9 of the ideal scaling",
        case="sparse",
        value=scaling_efficiency,
        limit=0.9,
        counts=lambda row: not row.backward and row.density < 1,
    ),
    Target(
        text="block-sparse forward + backward, N = 8k: at least 0.8 of the ideal scaling",
        case="sparse",
        value=scaling_efficiency,
        limit=0.8,
        counts=lambda row: row.backward and row.density < 1,
    ),
    Target(
        text="selection and attention, N = 8k: at least 8x dense fp32 SDPA",
        case="select",
        value=_speedup,
        limit=8.0,
    ),
    Target(
        text="selection and attention, N = 8k: at most 1 % relative output error",
        case="select",
        value=_error,
        limit=0.01,
        side="at most",
    ),
    Target(
        text="decode bf16, all keys: at least 8x SDPA",
        case="decode",
        value=_speedup,
        limit=8.0,
        counts=lambda row: row.dtype == "bf16" and row.density == 1,
    ),
    Target(
        text="decode, all keys: at least 90 % of the read bandwidth",
        case="decode",
        value=_fraction,
        limit=0.9,
        counts=lambda row: row.density == 1,
    ),
    Target(
        text=f"sweep, where SDPA takes >= 100 us: never below {NEVER_BELOW}x SDPA",
        case="sweep",
        value=_speedup,
        limit=NEVER_BELOW,
        counts=lambda row: row.sdpa_ms >= LEAST_SDPA_MS,
        everywhere=True,
    ),
    Target(
        text="fixed cost of heedful.attend, in ms: at most 15 us",
        case="overhead",
        value=lambda one: one.row.ours_ms,
        limit=0.015,
        side="at most",
    ),
    Target(
        text="small shapes: at least 1.5x SDPA",
        case="small",
        value=_speedup,
        limit=1.5,
    ),
)


def promised(isa: str) -> tuple[Target, ...]:
    """The targets that hold for an instruction set of `heedful.kernels.cpu.isa`."""
    return tuple(target for target in TARGETS if isa == NEEDS or target.everywhere)


def judge(measured: Sequence[Measurement], targets: Iterable[Target] = TARGETS) -> list[Verdict]:
    """Hold measurements to targets."""
    return [_verdict(target, measured) for target in targets]


def _verdict(target: Target, measured: Sequence[Measurement]) -> Verdict:
    found = [
        (value, one.row)
        for one in measured
        if one.row.case == target.case and target.counts(one.row)
        if (value := target.value(one)) is not None
    ]
    missed = sum(not target.met(value) for value, _ in found)
    sign = 1 if target.side == "at least" else -1
    worst, row = min(found, key=lambda pair: sign * pair[0], default=(None, None))
    return Verdict(target=target, rows=len(found), missed=missed, worst=worst, row=row)
