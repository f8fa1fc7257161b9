"""What other commands do of a search that one leads: they fine-tune; it decides and times alone."""

import secrets
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from heedful.optimizing.candidate import Candidate
from heedful.optimizing.clock import Clock
from heedful.optimizing.company import LEADER, Announced, Company, shown
from heedful.optimizing.problem import Problem
from heedful.optimizing.stored_candidate import read_candidate, write_candidate
from heedful.sharing.crew import Crew
from heedful.sharing.jobs import Job, Jobs

WARMED, FINAL, ORIGINAL = "warmed", "final", "original"  # kinds of jobs
GRACE = 2.0  # seconds in which the others may leave before the folder is deleted
PAUSE = 0.1  # seconds between two looks at what the others do


class SharedWork:
    """The jobs that a leading command offers to others; a context manager.

    As long as nobody else is there, nothing is offered and nothing is written but who leads.

    Args:
        folder: Of the crew.
        about: What makes it this search.
        company: Who may take part.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], company: Company) -> None:
        self.folder, self.company, self._about = folder, company, about
        self._crew, self._name = Crew(folder), f"heedful-{secrets.token_hex(8)}"
        self._threads = torch.get_num_threads()
        self._open: dict[int, str] = {}
        self.done: dict[str, int] = {}  # how many jobs of each kind others have done

    def __enter__(self) -> Self:
        (self.folder / "workers").mkdir(parents=True, exist_ok=True)
        with self._crew.joining():
            Announced(
                leader=self._crew.number,
                name=self._name,
                storage=shown(self.company.storage),
                about=self._about,
            ).write(self.folder)
        return self

    def __exit__(self, *error: object) -> None:
        torch.set_num_threads(self._threads)
        self._crew.__exit__(*error)
        deadline = time.monotonic() + GRACE
        while self._crew.others() and time.monotonic() < deadline:
            time.sleep(PAUSE)
        with suppress(OSError):  # what was offered stays, for whoever deletes the search
            (self.folder / LEADER).unlink()
            (self.folder / "workers").rmdir()
            self.folder.rmdir()

    @cached_property
    def _jobs(self) -> Jobs:
        return Jobs(self.folder, self._crew, self._name, self.company.storage)

    def others(self) -> int:
        """Return how many other commands are ready to take a job."""
        return self._crew.others()

    def gather(self) -> None:
        """Wait until those that this command has started are ready: they are busy before."""
        while self._crew.others() < self.company.here():
            time.sleep(PAUSE)

    def post(
        self,
        kind: str,
        clock: Clock,
        candidate: Candidate | None = None,
        *,
        after: int | None = None,
        **how: Any,
    ) -> int:
        """Offer a job, and return its number.

        Args:
            kind: One of the three above.
            clock: Says how much time is left for it.
            candidate: That it is about; `None` means the original.
            after: The number of a job that it goes on with.
            how: Plain data.
        """
        given = None
        if candidate is not None:
            given = f"given-{secrets.token_hex(4)}"
            write_candidate(self.folder / f"{given}.safetensors", candidate)
        left = clock.left if clock.limited else None
        job: Job = {"kind": kind, "given": given, "left": left, "after": after, **how}
        number = self._jobs.post(job, after=after)
        self._open[number] = kind
        self._share_cores()
        return number

    def withdraw(self, number: int) -> bool:
        """Take a job back; false where another command has begun it."""
        if self._jobs.take({number}) is None:
            return False
        self._jobs.give_up(number)
        self._close(number)
        return True

    def result(
        self, number: int, problem: Problem, *, clock: Clock | None = None
    ) -> Candidate | None:
        """Wait for what comes of a job; `None` where nobody has done it: its command is gone.

        Args:
            number: Of the job.
            problem: Whose original the candidate changes.
            clock: Of the search; when its time is up nobody waits any more.
        """
        while not self._jobs.ended(number):
            alone = not self._crew.others()
            late = clock is not None and clock.limited and clock.left < 0
            if (alone and self.withdraw(number)) or late:
                break
            time.sleep(PAUSE)
        kind = self._close(number)
        if self._jobs.found(number) is None:
            self._jobs.drop(number)
            return None
        self.done[kind] = self.done.get(kind, 0) + 1
        return read_candidate(self.folder / f"found-{number}.safetensors", problem)

    def said(self, number: int) -> Job:
        """Return what is known of a job that was done, besides its candidate."""
        return self._jobs.found(number) or {}

    def drop(self, number: int) -> None:
        """Say that a job is of no use any more."""
        self._jobs.drop(number)
        self._close(number)

    def settle(self, keep: Collection[int] = ()) -> None:
        """Drop what is no longer of use and, where the others share this machine, let it be quiet.

        Args:
            keep: Jobs whose results are wanted later.
        """
        numbers = list(self._open)
        for number in numbers:
            if number not in keep:
                self._jobs.drop(number)
        while self.company.here() and not all(map(self._jobs.ended, numbers)):
            time.sleep(PAUSE)
        for number in numbers:
            if self._jobs.ended(number) and number not in keep:
                self._close(number)
        torch.set_num_threads(self._threads)

    def _close(self, number: int) -> str:
        kind = self._open.pop(number, "")
        self._share_cores()
        return kind

    def _share_cores(self) -> None:
        """Leave cores to the others on this machine, for as long as they have something to do."""
        busy = self.company.here() if self._open else 0
        torch.set_num_threads(max(1, self._threads // (1 + busy)))
