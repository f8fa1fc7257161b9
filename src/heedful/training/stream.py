"""Batches of a training, for ever: cut by a thread, one ahead of the step that needs them."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from heedful.data.batches import size_batches
from heedful.tasks.base import Batch, Dataset, Task


class Place(NamedTuple):
    """Which batch of which epoch."""

    epoch: int
    batch: int


class Stream:
    """The training split in batches, in an order that the seed decides.

    Args:
        task: Knows how large a batch may be.
        data: The training split.
        device: Where batches go.
        share: This process and how many there are; each takes every so many batches.
        accumulate: How many of them make one step; an epoch has no rest.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        data: Dataset,
        *,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
        accumulate: int = 1,
    ) -> None:
        self.data, self.device, self.share = data, device, share
        self.accumulate = accumulate
        self.sizes, self.amounts = data.sizes, data.amounts  # once, not for every batch
        self.seed, self.most = task.config.seed, task.batch_limit
        self._epochs: dict[int, list[list[int]]] = {}  # two: a batch of the next one is cut ahead

    def batches(self, epoch: int) -> list[list[int]]:
        """Return this process's share of an epoch: as many batches as every other process has."""
        if epoch not in self._epochs:
            batches = size_batches(self.sizes, most=self.most, seed=self.seed, epoch=epoch)
            process, processes = self.share
            each = max(len(batches) // processes, 1)
            count = each // self.accumulate * self.accumulate or each
            own = batches[process % len(batches) :: processes][:count]
            near = {key: kept for key, kept in self._epochs.items() if abs(key - epoch) == 1}
            self._epochs = {**near, epoch: own}
        return self._epochs[epoch]

    def after(self, epoch: int, batch: int) -> Iterator[tuple[Place, Batch, int]]:
        """Yield the batches from this one on, with their place and how much each is."""
        places = self._places(epoch, batch)
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
            cut = self._cut(thread, next(places))
            while True:
                place, future, amount = cut
                cut = self._cut(thread, next(places))
                yield place, future.result(), amount

    def _places(self, epoch: int, batch: int) -> Iterator[tuple[Place, list[int]]]:
        while True:
            batches = self.batches(epoch)
            for number in range(batch, len(batches)):
                yield Place(epoch, number), batches[number]
            epoch, batch = epoch + 1, 0

    def _cut(
        self, thread: ThreadPoolExecutor, what: tuple[Place, list[int]]
    ) -> tuple[Place, "Future[Batch]", int]:
        place, rows = what
        # the same for the same batch of the same epoch, whatever was drawn before and by whom
        process, processes = self.share
        number = place.batch * processes + process
        random = np.random.default_rng([self.seed, place.epoch, number, 0])
        future = thread.submit(self.data.batch, rows, self.device, random=random)
        return place, future, int(self.amounts[rows].sum())
