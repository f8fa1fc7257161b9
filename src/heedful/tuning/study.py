"""The search as Optuna sees it: one cost, one constraint, in a journal or a database."""

import random
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.errors import RunError
from heedful.sharing.crew import Crew
from heedful.sharing.storage import DAMAGE, check_optuna, mend, open_study, settle
from heedful.tuning.encoding import encoded, suggested
from heedful.tuning.space import Params, Space
from heedful.tuning.trial import COST, Trial, trial_from_json

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial as OptunaTrial
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial

JOURNAL = "journal.jsonl"
RUNNING = "running"  # who trains a trial, under which number, and with which settings
PROPOSALS = 10  # of the sampler, before one is drawn among what is left
FIRST_AT_RANDOM = 10
APART = 7_919  # seeds of commands, further than trials ever are
# by how much a training that learned too slowly counts as missing the quality
VIOLATION = 1_000.0


class Study:
    """What was tried and what to try next, in `journal.jsonl` or in a database.

    Optuna's journal holds one JSON object a line and nothing else; it is replayed when it is opened
    again. Several commands may have a study open, and call it one at a time. Trainings of a command
    that is no more are marked as failed, do not count, and are tried again.

    Args:
        folder: Of the search; exists.
        space: Where to look.
        valid: The combinations of its choices that make a model.
        seed: Of the sampler.
        trials: How many are planned: a third of them, 10 at most, are drawn at random.
        crew: The commands that search here. `None` means: this one alone.
        storage: A database as Optuna names it, and the name of the study in it.

    Raises:
        MissingExtraError: Optuna is not installed, or what it needs for the database.
        RunError: The journal is damaged, or the database cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        space: Space,
        valid: Sequence[Params],
        seed: int,
        trials: int,
        crew: Crew | None = None,
        storage: tuple[str, str] | None = None,
    ) -> None:
        check_optuna("tuning")
        import optuna

        self.space, self.valid, self.crew = space, valid, crew
        self.path = folder / JOURNAL if storage is None else None
        if self.path is not None:
            mend(self.path)
        self._verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self._study: OptunaStudy = open_study(folder / JOURNAL, storage)
            before = self._study.get_trials(deepcopy=False)
            self.finished()
        except DAMAGE as error:
            optuna.logging.set_verbosity(self._verbosity)
            raise RunError(
                f"{folder / JOURNAL} must be whole, got a damaged line: {error}"
            ) from None
        # a search that goes on does not repeat its first draws, nor do two commands draw alike
        command = 1 if crew is None else crew.number
        self._seed = seed + len(before) + APART * (command - 1)
        self._study.sampler = _sampler(self._seed, first=min(max(trials // 3, 1), FIRST_AT_RANDOM))
        self._running: dict[int, OptunaTrial] = {}
        self.release_dead()

    def close(self) -> None:
        """Mark what still runs as failed, to be tried again, and let Optuna's log be as it was."""
        import optuna

        for trial in self._running.values():
            self._release(trial.number)
        self._running.clear()
        optuna.logging.set_verbosity(self._verbosity)

    @contextmanager
    def alone(self) -> Generator[None]:
        """While this lasts, no other command is at the study; within itself it does nothing."""
        if self.crew is None:
            yield
            return
        with self.crew.holding():
            if self.path is not None:
                settle(self.path)
            yield

    def finished(self) -> list[Trial]:
        """Return all trials that have come to an end, by their number."""
        told = [_record(trial) for trial in self._study.get_trials(deepcopy=False)]
        return sorted((one for one in told if one is not None), key=lambda one: one.number)

    def others(self) -> dict[int, Params]:
        """Return what other commands train, by the number of the trial."""
        found: dict[int, Params] = {}
        for trial in self._unfinished():
            about = trial.user_attrs.get(RUNNING)
            if about is not None and about["number"] not in self._running:
                found[about["number"]] = about["params"]
        return found

    def release_dead(self) -> int:
        """Mark as failed, to be tried again, what commands trained that are no more; how many."""
        dead = [trial.number for trial in self._unfinished() if not self._is_trained(trial)]
        for number in dead:
            self._release(number)
        return len(dead)

    def to_try_again(self) -> bool:
        """Whether something waits to be tried again."""
        return any(trial.state.name == "WAITING" for trial in self._all())

    def _release(self, number: int) -> None:
        self._study.tell(number, state=_state("FAIL"), skip_if_finished=True)
        trial = self._all()[number]
        if RUNNING in trial.user_attrs:  # it was begun, and not only proposed
            self._study.enqueue_trial(trial.params)

    def _is_trained(self, trial: "FrozenTrial") -> bool:
        if trial.number in {one.number for one in self._running.values()}:
            return True
        about, crew = trial.user_attrs.get(RUNNING), self.crew
        if about is None or crew is None or about["command"] == crew.number:
            return False
        return crew.lives(about["command"])

    def _all(self) -> "list[FrozenTrial]":
        return self._study.get_trials(deepcopy=False)

    def _unfinished(self) -> "list[FrozenTrial]":
        return [trial for trial in self._all() if trial.state.name == "RUNNING"]

    def enqueue(self, number: int, params: Params) -> Params:
        """Start a trial with what is given, which lies in the space."""
        self._study.enqueue_trial(encoded(params, self.space, self.valid))
        trial = self._study.ask()
        return self._start(number, trial, suggested(trial, self.space, self.valid))

    def ask(self, number: int, refuse: Callable[[Params], str | None]) -> Params | None:
        """Start a trial with what the sampler proposes.

        Args:
            number: Of the new trial.
            refuse: Says why something need not be tried: `cost`, which the sampler learns from, or
                anything else, which it does not.

        Returns:
            What was chosen; `None` when all that is left is refused.
        """
        for _ in range(PROPOSALS):
            trial = self._study.ask()
            params = suggested(trial, self.space, self.valid)
            reason = refuse(params)
            if reason is None:
                return self._start(number, trial, params)
            self._study.tell(trial, state=_state("PRUNED" if reason == COST else "FAIL"))
        order = random.Random(self._seed + number).sample(range(len(self.valid)), len(self.valid))
        left = (self.valid[row] for row in order)  # one after the other: asking takes its time
        found = next((params for params in left if refuse(params) is None), None)
        return None if found is None else self.enqueue(number, found)

    def report(self, number: int, share: float, loss: float) -> None:
        """Tell a score, of which less is better, at a share of the training, in thousandths."""
        trial = self._running[number]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two within one thousandth: the first one counts
            trial.report(loss, round(1_000 * share))

    def tell(self, trial: Trial, missed_by: float) -> None:
        """Tell what a trial came to.

        Args:
            trial: As it ended.
            missed_by: How much quality it lacks; counts for those trained to the end.
        """
        told = self._running.pop(trial.number)
        told.set_user_attr("heedful", trial.to_json())
        complete = trial.state == "complete"
        if not (trial.state == "pruned" and trial.reason == COST):
            missing = missed_by if complete else VIOLATION
            if hasattr(told, "set_constraint"):  # from Optuna 5.0 on
                told.set_constraint("quality", missing)
            else:
                told.set_user_attr("missing", missing)
        if complete:
            self._study.tell(told, trial.cost)
        else:
            self._study.tell(told, state=_state("PRUNED"))

    def _start(self, number: int, trial: "OptunaTrial", params: Params) -> Params:
        self._running[number] = trial
        command = 1 if self.crew is None else self.crew.number
        about = {"number": number, "params": params, "command": command}
        trial.set_user_attr(RUNNING, about)
        return params


def _sampler(seed: int, *, first: int) -> "TPESampler":
    from optuna.samplers import TPESampler
    from optuna.trial import Trial as OptunaTrial

    settings: dict[str, Any] = {"seed": seed, "n_startup_trials": first}
    # several run at once: what runs already is not proposed again
    settings |= {"multivariate": True, "constant_liar": True}
    if not hasattr(OptunaTrial, "set_constraint"):
        settings |= {"constraints_func": _missing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # until 4.x some of these were called experimental
        return TPESampler(**settings)


def _missing(trial: "FrozenTrial") -> tuple[float]:
    return (trial.user_attrs.get("missing", 0.0),)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _record(trial: "FrozenTrial") -> Trial | None:
    plain = trial.user_attrs.get("heedful")
    return None if plain is None or not trial.state.is_finished() else trial_from_json(plain)
