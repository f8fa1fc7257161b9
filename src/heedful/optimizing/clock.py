"""The time that an optimisation may take, with what its proof will need kept back."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

FEWEST = 5  # steps of fine-tuning: fewer only disturb


class TimeUp(Exception):
    """What is left is needed for the proof. No error: the search ends with what it has verified."""


class Clock:
    """How much time is left, and how long things have taken.

    Args:
        minutes: For all of it, the proof included; `None` means no limit.
        now: Seconds of some clock that never goes back.
    """

    def __init__(
        self, minutes: float | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now, self._began = now, now()
        self._limit = float("inf") if minutes is None else 60 * minutes
        self.kept = 0.0
        """Seconds that only the proof may use."""
        self.took: dict[str, float] = {}
        """Seconds that something took when it was last done, by its name."""
        self._searching = False

    @property
    def limited(self) -> bool:
        """Is there a limit?"""
        return self._limit != float("inf")

    @property
    def limit(self) -> float:
        """Seconds for all of it."""
        return self._limit

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return self._now() - self._began

    @property
    def left(self) -> float:
        """Seconds that the search may still use; below 0 where it has used what is kept."""
        return self._limit - self.kept - self.spent

    def give(self, seconds: float | None) -> None:
        """Let so much be left from now on; `None` means no limit."""
        now = self.spent + self.kept
        self._limit = float("inf") if seconds is None else now + seconds

    def check(self, *names: str) -> None:
        """End the search where there is no time left for these once more.

        Raises:
            TimeUp: There is not.
        """
        if self.left < sum(self.took.get(name, 0.0) for name in names) or self.left <= 0:
            raise TimeUp

    def ask(self, *names: str) -> None:
        """Do as `check` does while a search runs; before it and behind it there is no end to tell.

        Raises:
            TimeUp: There is no time left.
        """
        if self._searching:
            self.check(*names)

    @contextmanager
    def searching(self) -> Generator[None]:
        """Let whoever asks end the search, for a while."""
        self._searching = True
        try:
            yield
        finally:
            self._searching = False

    @contextmanager
    def watch(self, name: str) -> Generator[None]:
        """Note how long something takes."""
        began = self._now()
        yield
        self.took[name] = self._now() - began

    def times(self, wanted: int, name: str, *, share: float) -> int:
        """Return how often something can be done in a share of what is left, at most as wanted."""
        took = self.took.get(name, 0.0)
        if not self.limited or took <= 0:
            return wanted
        return max(0, min(wanted, int(share * self.left / took)))
