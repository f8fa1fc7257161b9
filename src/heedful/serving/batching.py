"""Inputs of many callers, worked on together by one thread; no more wait than there is room."""

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from heedful.errors import HeedfulError

CALM = 0.1  # how much the newest batch counts for the time that an input is said to take


class FullError(HeedfulError, RuntimeError):
    """There is no room for more inputs; `after` says in how many seconds there may be."""

    def __init__(self, message: str, *, after: int) -> None:
        super().__init__(message)
        self.after = after


class StoppedError(FullError):
    """The server takes nothing more."""


@dataclass(frozen=True, eq=False)
class Work:
    """What is done to inputs.

    Args:
        do: From inputs to as many results; an exception that stands among them is that of its
            input alone. Called in the thread of the batcher.
        most: Inputs that it takes at once.
        wait: Seconds that an input waits for others to come.
    """

    do: Callable[[list[Any]], Sequence[Any]]
    most: int = 1
    wait: float = 0.0


@dataclass(frozen=True, eq=False)
class _Waiting:
    work: Work
    given: Any
    since: float
    until: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Batcher:
    """One thread, and what waits for it, in the order it came.

    An input that has waited long enough while others were worked on goes at once, so that nobody
    waits for company under load, and nobody who is alone waits for longer than `Work.wait`.

    Args:
        room: Inputs that may wait.
        heard: Called with the number of inputs of each batch and its seconds.
    """

    def __init__(self, room: int, *, heard: Callable[[int, float], object] = lambda n, s: None):
        self.room = room
        self._heard = heard
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds = 0.0  # that an input takes
        self._thread = threading.Thread(target=self._run, name="heedful-model")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, *, drop: bool = False) -> None:
        """Take nothing more; what waits is still worked on, or else dropped."""
        with self._changed:
            self._closed = True
            if drop:
                self._waiting.clear()
            self._changed.notify()

    def join(self) -> None:
        """Wait until all is done."""
        self._thread.join()

    def depth(self) -> int:
        """Return how many inputs wait."""
        return len(self._waiting)

    def check(self, count: int = 1) -> None:
        """Say early that there is no room.

        Raises:
            FullError: So many inputs find no room.
            StoppedError: The server stops.
        """
        depth = len(self._waiting)
        if self._closed:
            raise StoppedError("a server must be running to be asked, got one that stops", after=1)
        if depth + count > self.room:
            raise FullError(
                f"at most {self.room} inputs must wait, got {depth} and {count} more",
                after=max(1, math.ceil(depth * self._seconds)),
            )

    def put(
        self, work: Work, inputs: Sequence[Any], *, until: float
    ) -> "list[asyncio.Future[Any]]":
        """Let inputs wait for their turn; call it in an event loop.

        Args:
            work: What is done to them.
            inputs: All of them, or none, find room.
            until: When nobody wants the results any more, as `time.monotonic` counts.

        Raises:
            FullError: They find no room.
            StoppedError: The server stops.
        """
        loop, now = asyncio.get_running_loop(), monotonic()
        with self._changed:
            self.check(len(inputs))
            before = len(self._waiting)
            new = [_Waiting(work, each, now, until, loop, loop.create_future()) for each in inputs]
            self._waiting.extend(new)
            if not before or len(self._waiting) >= work.most:  # else the thread waits for company
                self._changed.notify()
        return [each.future for each in new]

    def _run(self) -> None:
        while batch := self._next():
            alive = [each for each in batch if each.until > monotonic()]
            if alive:
                begun = monotonic()
                results = _results(alive[0].work, [each.given for each in alive])
                seconds = monotonic() - begun
                self._seconds += CALM * (seconds / len(alive) - self._seconds)
                self._heard(len(alive), seconds)
                _tell(alive, results)

    def _next(self) -> list[_Waiting]:
        """The next batch, once it is whole or its oldest has waited enough; empty at the end."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            work = self._waiting[0].work
            end = self._waiting[0].since + work.wait
            while len(self._waiting) < work.most and not self._closed:
                left = end - monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < work.most and self._waiting[0].work is work:
                batch.append(self._waiting.popleft())
            return batch


async def answered(waiting: "Sequence[asyncio.Future[Any]]", *, until: float) -> list[Any]:
    """Wait for results; an error of ours stands for what it is about.

    Args:
        waiting: What `Batcher.put` returned.
        until: When nobody wants the results any more, as `time.monotonic` counts.

    Raises:
        TimeoutError: They are not there in time.
    """
    found: list[Any] = []
    try:
        async with asyncio.timeout(max(0.0, until - monotonic())):
            for each in waiting:
                try:
                    found.append(await each)
                except HeedfulError as error:
                    found.append(error)
    finally:
        for each in waiting:  # what is not done: nobody waits for it any more
            each.cancel()
    return found


def _results(work: Work, inputs: list[Any]) -> Sequence[Any]:
    try:
        return work.do(inputs)
    except Exception as error:  # whoever asked is told; the thread goes on
        return [error] * len(inputs)


def _tell(batch: list[_Waiting], results: Sequence[Any]) -> None:
    """Hand results over, in the loops that wait for them."""

    def tell(pairs: list[tuple[_Waiting, Any]]) -> None:
        for each, result in pairs:
            if each.future.done():  # nobody waits any more
                continue
            if isinstance(result, Exception):
                each.future.set_exception(result)
            else:
                each.future.set_result(result)

    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Any]]] = {}
    for each, result in zip(batch, results, strict=True):
        loops.setdefault(each.loop, []).append((each, result))
    for loop, pairs in loops.items():
        try:
            loop.call_soon_threadsafe(tell, pairs)
        except RuntimeError:  # the loop is closed, and with it all who waited in it
            pass
