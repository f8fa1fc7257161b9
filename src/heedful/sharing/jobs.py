"""Pieces of work that the commands of a search share: posted, taken by one of them, and done.

Each is a trial of a study of Optuna, in a journal or in a database: it waits, it runs, it is
complete, or it failed. What a command had taken that is no more waits again.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.sharing.crew import Crew
from heedful.sharing.storage import check_optuna, open_storage, settle

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

JOURNAL = "jobs.jsonl"
WHAT, AFTER, COMMAND, UNWANTED, FOUND = "job", "after", "command", "unwanted", "found"

Job = dict[str, Any]  # plain data


class Jobs:
    """The jobs of one search, as one of its commands sees them.

    Args:
        folder: Of the crew; the journal is there.
        crew: Which this command has joined.
        name: Of the study.
        url: A database as Optuna names it; `None` means the journal.

    Raises:
        MissingExtraError: Optuna is not installed, or lacks what it needs for the database.
        RunError: The database cannot be used.
    """

    def __init__(self, folder: Path, crew: Crew, name: str, url: str | None = None) -> None:
        check_optuna("a search by several commands")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.crew, self._journal = crew, folder / JOURNAL
        with self._alone():
            self._storage = open_storage(self._journal, url)
            optuna.create_study(storage=self._storage, study_name=name, load_if_exists=True)
            self._study = self._storage.get_study_id_from_name(name)
            self._free()  # before the number of one that died is given to another one

    def post(self, job: Job, *, after: int | None = None) -> int:
        """Offer a job to the others, and return its number.

        Args:
            job: What whoever takes it must know.
            after: A job that must be done before.
        """
        from optuna.trial import create_trial

        about = {WHAT: job, AFTER: after}
        waiting = create_trial(state=_state("WAITING"), user_attrs=about)
        with self._alone():
            return self._storage.create_new_trial(self._study, template_trial=waiting)

    def take(self, only: Collection[int] | None = None) -> tuple[int, Job] | None:
        """Take the first job that waits and can be done; nobody else has it then.

        Args:
            only: One of these. `None` means any.
        """
        with self._alone():
            self._free()
            for number, trial in self._in("WAITING"):
                after = trial.user_attrs[AFTER]
                ready = after is None or self.found(after) is not None
                if after is not None and not ready and self.ended(after):
                    self.give_up(number)  # nobody has done what it goes on with
                elif ready and (only is None or number in only):
                    self._storage.set_trial_state_values(number, _state("RUNNING"))
                    self._storage.set_trial_user_attr(number, COMMAND, self.crew.number)
                    return number, trial.user_attrs[WHAT]
        return None

    def finish(self, number: int, found: Job) -> None:
        """Say what came of a job that this command has taken; nothing, where it had ended."""
        with self._alone():
            if not self.ended(number):
                self._storage.set_trial_user_attr(number, FOUND, found)
                self._storage.set_trial_state_values(number, _state("COMPLETE"), [0.0])

    def give_up(self, number: int) -> None:
        """End a job without having done it."""
        with self._alone():
            if not self.ended(number):
                self._storage.set_trial_state_values(number, _state("FAIL"))

    def drop(self, number: int) -> None:
        """Say that nobody wants a job any more: who has begun it may give it up."""
        with self._alone():
            self._free()
            trial = self._trial(number)
            if not trial.state.is_finished():
                self._storage.set_trial_user_attr(number, UNWANTED, True)
            if trial.state.name == "WAITING":
                self.give_up(number)

    def found(self, number: int) -> Job | None:
        """Return what came of a job; `None` where that is not known yet, or never will be."""
        return self._trial(number).user_attrs.get(FOUND)

    def ended(self, number: int) -> bool:
        """Whether nothing more comes of a job."""
        return self._trial(number).state.is_finished()

    def wanted(self, number: int) -> bool:
        """Whether a job is still worth its work."""
        return UNWANTED not in self._trial(number).user_attrs and not self.ended(number)

    def _free(self) -> None:
        """Let wait again what commands have taken that are no more."""
        for number, trial in self._in("RUNNING"):
            if not self.crew.lives(trial.user_attrs.get(COMMAND, 0)):
                again = "FAIL" if UNWANTED in trial.user_attrs else "WAITING"
                self._storage.set_trial_state_values(number, _state(again))

    @contextmanager
    def _alone(self) -> Generator[None]:
        """While this lasts no other command writes; what a killed one left half written is gone."""
        with self.crew.holding():
            if self._journal.exists():
                settle(self._journal)
            yield

    def _in(self, *states: str) -> "list[tuple[int, FrozenTrial]]":
        trials = self._storage.get_all_trials(self._study, deepcopy=False)
        return [(trial._trial_id, trial) for trial in trials if trial.state.name in states]  # pyright: ignore[reportPrivateUsage]

    def _trial(self, number: int) -> "FrozenTrial":
        return self._storage.get_trial(number)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
