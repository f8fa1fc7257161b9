"""The commands that work on one search: who they are, who still lives, and one at a time.

Each holds a folder of its own in `workers/` for as long as it lives, by a lock of the operating
system that ends with it, however that ends. What several of them must not do at the same time,
such as to begin a trial, they do while they hold the folder of the search.
"""

import re
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from heedful.errors import RunError
from heedful.locks import hold

PATIENCE = 120.0  # seconds that a command waits for another that holds the folder
PAUSE = 0.05


class Crew:
    """One command among those of a search; a context manager.

    Args:
        folder: Of the search.

    Attributes:
        number: Of this command, from 1 on: no other that lives has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self._held, self._own = ExitStack(), ExitStack()
        self._depth = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._own.close()
        if self.number:
            self._remove(self.number)

    @contextmanager
    def joining(self) -> Generator[None]:
        """Take a number, and hold the folder until what the dead have left is looked after.

        Raises:
            RunError: Another one holds the folder for long, or it cannot be written.
        """
        with self.holding():
            self.number = max(self._numbers(), default=0) + 1
            self._own.enter_context(hold(self._place(self.number), make=True))
            yield
            self._bury()

    @property
    def logs(self) -> Path:
        """Where the workers of this command leave what they print."""
        return self._place(self.number) if self.number > 1 else self.folder / "workers"

    def lives(self, number: int) -> bool:
        """Whether the command of this number is still there."""
        if number == self.number:
            return True
        place = self._place(number)
        if not place.is_dir():
            return False
        try:
            with hold(place):
                return False
        except RunError:
            return True

    def others(self) -> int:
        """Return how many other commands there are."""
        return sum(number != self.number and self.lives(number) for number in self._numbers())

    def _bury(self) -> None:
        """Let the numbers of those that are no more be free again."""
        for number in self._numbers():
            if not self.lives(number):
                self._remove(number)

    @contextmanager
    def holding(self, *, patience: float | None = None) -> Generator[None]:
        """Hold the folder of the search, so that the others wait; within itself it does nothing.

        Args:
            patience: Seconds to wait for another one. `None` means `PATIENCE`.

        Raises:
            RunError: Another one holds it for longer, or the folder cannot be written or is gone.
        """
        if self._depth:
            self._depth += 1
        else:
            self._take(PATIENCE if patience is None else patience)
            self._depth = 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._held.close()

    def _take(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                self._held.enter_context(hold(self.folder))
                return
            except RunError:
                if time.monotonic() >= deadline or not self.folder.is_dir():
                    raise
                time.sleep(PAUSE)

    def _place(self, number: int) -> Path:
        return self.folder / "workers" / f"command-{number:03}"

    def _numbers(self) -> list[int]:
        found = (
            re.fullmatch(r"command-([0-9]{3,6})", each.name)
            for each in (self.folder / "workers").iterdir()
        )
        return [int(each[1]) for each in found if each]

    def _remove(self, number: int) -> None:
        """Remove the folder of a command, unless its workers have left something to be read."""
        place = self._place(number)
        for log in place.glob("worker-*.log"):
            if not log.stat().st_size:
                log.unlink()
        try:
            place.rmdir()
        except OSError:  # something is in it
            pass
