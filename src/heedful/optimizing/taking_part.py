"""A search by several commands: the first one leads it, and the others do what it offers."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from heedful.allocation.plan import unfused
from heedful.allocation.saved_files import REPORT
from heedful.errors import BudgetError, RunError, TrainingError
from heedful.files import read_json
from heedful.locks import LOCK, hold
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.clock import Clock, TimeUp
from heedful.optimizing.company import CREW, Announced, Company, announced
from heedful.optimizing.descent import STOP
from heedful.optimizing.events import Note, OptimizeEvent, Stage
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.into_folder import (
    AGAIN,
    IntoFolder,
    Opened,
    about_of,
    optimize_into,
    search_of,
)
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search
from heedful.optimizing.shared_work import FINAL, PAUSE, WARMED
from heedful.optimizing.stored_candidate import read_candidate, write_candidate
from heedful.sharing.crew import Crew
from heedful.sharing.jobs import Job, Jobs
from heedful.sharing.storage import reachable


class Unwanted(Exception):
    """Nobody wants what this command does any more. No error: it looks for something else."""


def take_part(asked: IntoFolder, company: Company) -> dict[str, Any]:
    """Lead a search or, where another command leads it, do what that one offers until it ends.

    When a command that leads is gone without having come to an end, one of the others goes on in
    its place.

    Args:
        asked: The same for all commands.
        company: The same storage for all commands.

    Returns:
        The report of the accepted model, which one of them has written.

    Raises:
        BudgetError: Nothing was found that is faster and good enough.
        RunError: What another command leads is another search, or the database cannot be used.
        HeedfulError: As `optimize_into` does.
    """
    helper, before = _Helper(asked, company), _report(asked.folder)
    while True:
        leader = helper.leader()
        if leader is not None:
            helper.work_for(leader)
        elif _is_held(helper.folder.parent):  # one that begins or ends
            time.sleep(PAUSE)
        elif (report := _report(asked.folder)) != before and report is not None:
            if not report["accepted"]:
                raise BudgetError(report["reason"])
            return report
        else:
            try:
                return optimize_into(replace(asked, opened=helper.opened), company).report
            except RunError:
                if not _is_held(helper.folder.parent):
                    raise


class _Helper:
    """A command that does jobs of a search that another one leads."""

    def __init__(self, asked: IntoFolder, company: Company) -> None:
        self.asked, self.company = asked, company
        self.folder = search_of(asked.folder) / CREW
        self._opened: Opened | None = None
        self._is_wanted: Callable[[], bool] = lambda: True  # what it does now

    def opened(self) -> Opened:
        """What is optimised, read once."""
        self._opened = self._opened or self.asked.opened()
        return self._opened

    def leader(self) -> Announced | None:
        """Who leads the search, where somebody does."""
        with suppress(FileNotFoundError):
            found = announced(self.folder)
            if found is not None and Crew(self.folder).lives(found.leader):
                return found
        return None

    def work_for(self, leader: Announced) -> None:
        """Take job after job, until the leading command is gone."""
        opened, asked = self.opened(), self.asked
        leader.check(about_of(opened, asked.budget, asked.settings), self.company.storage)
        search = self._search(opened)
        try:
            with (
                reachable(self.company.storage, again=AGAIN),
                Crew(self.folder) as crew,
            ):
                with crew.joining():
                    jobs = Jobs(self.folder, crew, leader.name, self.company.storage)
                asked.on_event(Note(text=f"taking part in the search of {asked.folder}"))
                while crew.lives(leader.leader):
                    taken = jobs.take()
                    if taken is None:
                        time.sleep(PAUSE)
                    else:
                        self._do(search, jobs, *taken, lambda: crew.lives(leader.leader))
        except (OSError, RunError):  # the folder of a search that is over is gone
            if self.leader() is not None:
                raise

    def _search(self, opened: Opened) -> Search:
        """What a job is done with: it times nothing, and so counts operations instead."""
        asked = self.asked
        return Search(
            Request(
                problem=opened.problem,
                budget=asked.budget,
                settings=replace(asked.settings, goal="macs", minutes=None),
                clock=Clock(),
                listener=self._listen,
                beside=False,
            )
        )

    def _listen(self, event: OptimizeEvent) -> None:
        if not self._is_wanted():
            raise Unwanted
        if not isinstance(event, Note):
            self.asked.on_event(event)

    def _do(
        self, search: Search, jobs: Jobs, number: int, job: Job, led: Callable[[], bool]
    ) -> None:
        self._is_wanted = lambda: led() and jobs.wanted(number)
        try:
            candidate, said = done(search, self.folder, job)
            write_candidate(self.folder / f"found-{number}.safetensors", candidate)
            jobs.finish(number, said)
        except (Unwanted, TimeUp, TrainingError):
            jobs.give_up(number)
        finally:
            self._is_wanted = lambda: True


def done(search: Search, folder: Path, job: Job) -> tuple[Candidate, Job]:
    """Do a job; return the candidate that comes of it, and what else is to be said."""
    search.clock.give(job["left"])
    given = job["given"]
    start = search.original
    if given is not None:
        start = read_candidate(folder / f"{given}.safetensors", search.problem)
    if job["kind"] == WARMED:
        return search.warmed(start, job["steps"], job["seed"]), {}
    if job["kind"] == FINAL:
        return search.legs(start, job["number"]), {}
    if job["after"] is not None:
        start = read_candidate(folder / f"found-{job['after']}.safetensors", search.problem)
    model = unfused(start.model)
    steps = _finetuned(search, model, [Finetuning(**each) for each in job["trained"]])
    return replace(search.original, model=model.eval()), {"steps": steps}


def _finetuned(search: Search, model: nn.Module, trained: Sequence[Finetuning]) -> int:
    """Fine-tune the original in place; return the steps, fewer where time is up."""
    clock, steps = search.clock, 0

    def after(step: int) -> object:
        if step % 10 == 0:
            search.tell(Stage(text="fine-tuning the original for as long"))
        late = clock.left < 2 * clock.took.get("dev", 0.0)
        return STOP if late else None

    for each in trained:
        steps += finetune(model, search.request.problem, each, on_step=after)
    return steps


def _report(folder: Path) -> dict[str, Any] | None:
    """What a search has come to in a folder, where one has."""
    path = folder / REPORT
    return read_json(path) if path.is_file() else None


def _is_held(folder: Path) -> bool:
    if not (folder / LOCK).exists():  # looking would leave one where its folder is being deleted
        return False
    try:
        with hold(folder):
            return False
    except RunError:
        return True
