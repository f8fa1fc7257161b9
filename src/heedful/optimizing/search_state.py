"""A search that goes on where it was killed: its rounds and its measurements, in a folder."""

import math
import os
import platform
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from heedful.allocation.plan import Plan
from heedful.errors import RunError
from heedful.locks import LOCK, hold
from heedful.metrics.metric import Floats
from heedful.optimizing import company
from heedful.optimizing.budget import Budget
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import EventListener, Note
from heedful.optimizing.journal import Journal
from heedful.optimizing.problem import Problem
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.stored_candidate import store_weights, stored_candidate
from heedful.optimizing.verdict import Verdict
from heedful.removal import remove_written

JOURNAL, COSTS = "journal.jsonl", "costs"
STAGES = ("free", "layers", "round", "final")
NOISE = 1e-3  # a share by which a score may differ when it is measured again


class SearchState:
    """The finished rounds of one search. Nothing is read or written before it is opened.

    Args:
        folder: Made where it is missing; holds `journal.jsonl` and the weights of each round.
        budget: A search under another budget is another search.
        settings: The same.
        about: What else makes it the same search: of which model, with which data. May be added to
            before it is opened.
    """

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        settings: OptimizeSettings,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.about = {"budget": budget.comparison, "settings": settings.to_json(), **(about or {})}
        self._journal: Journal | None = None
        self._first: dict[str, int] = {}

    @property
    def journal(self) -> Journal:
        """What was measured; opening it checks that it is of this search.

        Raises:
            RunError: The folder holds another search, or cannot be written.
        """
        if self._journal is None:
            self._journal = Journal(self.folder / JOURNAL, fingerprint=self.about)
        return self._journal

    @property
    def opened(self) -> bool:
        """Was it?"""
        return self._journal is not None

    def forget(self) -> bool:
        """Delete what was written; say whether the folder is gone, or holds something else."""
        names = [self._weights(stage, n).name for stage in STAGES for n in range(1, self._next())]
        if remove_written(self.folder, [JOURNAL, LOCK, *names, *company.FILES]):
            return True
        for name in () if self.folder.is_symlink() else (JOURNAL, *names):
            path = self.folder / name
            if path.is_file() and not path.is_symlink():
                path.unlink()
        return False

    def _next(self) -> int:
        """One more than the number of the last weights that there may be."""
        return 2 + (0 if self._journal is None else len(self._journal))

    @property
    def rounds(self) -> int:
        """How many rounds are finished."""
        number = 0
        while ["round", number + 1] in self.journal:
            number += 1
        return number

    def recall(
        self, stage: str, number: int, problem: Problem, original: Candidate, before: Floats
    ) -> Candidate | None:
        """Return the candidate that a finished round, or other stage, came to.

        Args:
            stage: One of `STAGES`.
            number: From 1.
            problem: Whose original the plan is applied to.
            original: As the search sees it.
            before: Statistics of the original on the dev split.

        Raises:
            RunError: Its weights are missing or damaged, or it is of another model or quality.
        """
        kept = self.journal.get([stage, number])
        if kept is None:
            return None

        def check(plan: Plan, verdict: Verdict | None) -> None:
            if verdict is None:
                raise RunError(f"{self.folder} must hold a search of heedful, got no verdict")
            self._check(plan, original, verdict.before, problem.metric.score(before))

        return stored_candidate(kept, self._weights(stage, number), problem, check=check)

    def _check(self, plan: Plan, original: Candidate, before: float, score: float) -> None:
        anew = f"Delete {self.folder} to search anew."
        if dict(plan.was) != dict(original.plan.was):
            raise RunError(
                f"a search must go on with the same attention, got {dict(original.plan.was)} "
                f"after {dict(plan.was)}. {anew}"
            )
        if not math.isclose(before, score, rel_tol=NOISE, abs_tol=1e-12):
            raise RunError(
                "a search must go on with the same quality, got "
                f"{score:.6g} for the original after {before:.6g}. {anew}"
            )

    def keep(self, stage: str, number: int, candidate: Candidate) -> None:
        """Write down what a stage came to; first the weights, so that a kill leaves no gap."""
        if candidate.verdict is None:
            return
        for key in [key for key in self._first if key not in self.journal]:
            self.journal.put(key, self._first[key])
        self.journal.put([stage, number], store_weights(candidate, self._weights(stage, number)))

    def once(self, key: str, value: int) -> int:
        """Return what was kept under a key when this search began, and keep it where it begins."""
        self._first.setdefault(key, value)
        kept = self.journal.get(key)
        return value if kept is None else int(kept)

    def costs(self) -> dict[str, Any]:
        """Return what was measured so far; empty at first."""
        return self.journal.get(COSTS) or {}

    def keep_costs(self, costs: Mapping[str, Any]) -> None:
        """Write down what was measured: a search that goes on must not measure otherwise."""
        self.journal.put(COSTS, dict(costs))

    def _weights(self, stage: str, number: int) -> Path:
        return self.folder / f"{stage}-{number}.safetensors"


@contextmanager
def hold_state(state: SearchState, listener: EventListener) -> Generator[SearchState]:
    """Hold the folder of a search; whoever is stopped hears how to go on, and nothing empty stays.

    Args:
        state: Of the search.
        listener: Told when Ctrl-C ends it.

    Raises:
        RunError: Another process holds the folder, or it is a link, or cannot be written.
    """
    folder = state.folder
    if folder.is_symlink():
        raise RunError(f"the folder of a search must be a folder, got the link {folder}")
    with hold(folder, make=True):
        try:
            yield state
        except BaseException as error:
            opened = (folder / JOURNAL).is_file() and state.opened
            if opened and not len(state.journal):
                state.forget()
            if isinstance(error, KeyboardInterrupt):
                listener(Note(text=_on_from(state.rounds if opened else 0, folder)))
            raise


def _on_from(rounds: int, folder: Path) -> str:
    if not rounds:
        return "interrupted before the first round was done; the same call begins anew"
    done = f"{rounds} round{'s are' if rounds > 1 else ' is'}"
    return f"interrupted: {done} kept in {folder}, and the same call goes on from there"


def machine_of(device: torch.device) -> dict[str, Any]:
    """Return what measured times depend on."""
    return {
        "processor": platform.machine(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": version("torch"),
    }
