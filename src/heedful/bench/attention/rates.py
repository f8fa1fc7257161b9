"""What the machine can do, measured beside what is measured: matrix products and reading."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from heedful.bench.attention.problem import DTYPES
from heedful.bench.timing import in_turns
from heedful.errors import KernelError

SIDE = 2048
YOUNG = 3.0  # seconds for which a rate is believed: a shared machine is not as fast all the time
ROUNDS = 3


class MatrixRates:
    """Operations per second of a matrix product of 2048 x 2048 x 2048, measured again and again.

    Args:
        clock: Seconds.
        side: Of the matrices.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, side: int = SIDE) -> None:
        self._clock, self._side = clock, side
        self._matrices: dict[str, Tensor] = {}
        self._last: dict[tuple[str, int], tuple[float, float]] = {}
        self.all: dict[tuple[str, int], list[float]] = {}

    def now(self, dtype: str) -> float:
        """The rate of this dtype with torch's present number of threads, not older than `YOUNG`.

        `all` keeps every measurement by dtype and threads.
        """
        kind = dtype, torch.get_num_threads()
        when, rate = self._last.get(kind, (-torch.inf, 0.0))
        if self._clock() - when < YOUNG:
            return rate
        rate = self._measure(dtype, first=kind not in self._last)
        self._last[kind] = self._clock(), rate
        self.all.setdefault(kind, []).append(rate)
        return rate

    def _measure(self, dtype: str, *, first: bool) -> float:
        if dtype not in self._matrices:
            generator = torch.Generator().manual_seed(1)
            matrix = torch.randn(self._side, self._side, generator=generator)
            self._matrices[dtype] = matrix.to(DTYPES[dtype])
        matrix = self._matrices[dtype]
        times = in_turns({"product": lambda: matrix @ matrix}, rounds=ROUNDS, warm_up=int(first))
        return 2 * self._side**3 / times["product"].median

    def words(self) -> list[str]:
        """The rates that were measured, one line for each dtype and number of threads."""
        lines: list[str] = []
        for (dtype, threads), found in self.all.items():
            low, high = (edge / 1e9 for edge in (min(found), max(found)))
            lines.append(
                f"matrix product of {self._side}^3, {dtype}, threads {threads}: "
                f"{statistics.median(found) / 1e9:.0f} GFLOP/s ({low:.0f} to {high:.0f})"
            )
        return lines


def reading(tensor: Tensor) -> Callable[[], object] | None:
    """A call that reads every byte of a tensor once, with all threads, as fast as that goes.

    `None` where there is no native kernel, which brings it along.
    """
    from heedful.kernels.cpu.native import read_all

    def read() -> object:
        return read_all(tensor)

    try:
        read()
    except KernelError:
        return None
    return read
