"""The search as Optuna sees it: one cost, one constraint, and a journal that only one writes."""

import json
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.errors import MissingExtraError, RunError
from heedful.files import write_bytes
from heedful.tuning.encoding import encoded, suggested
from heedful.tuning.space import Params, Space
from heedful.tuning.trial import COST, Trial, trial_from_json

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial as OptunaTrial
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial

JOURNAL = "journal.jsonl"
PROPOSALS = 10  # of the sampler, before one is drawn among what is left
FIRST_AT_RANDOM = 10
# by how much a training that learned too slowly counts as missing the quality
VIOLATION = 1_000.0
# what Optuna, or a record of ours, comes to when a line holds something else than it should
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError)


def check_optuna() -> None:
    """Check that Optuna can be loaded.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import optuna  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise MissingExtraError(
            "tuning needs Optuna, got none. Install it: pip install 'heedful[tune]'"
        ) from None


class Study:
    """What was tried and what to try next, in `journal.jsonl`.

    Optuna's journal holds one JSON object a line and nothing else; it is replayed when it is opened
    again. Trainings that ran when it was left are marked as failed, and do not count.

    Args:
        folder: Of the search; exists.
        space: Where to look.
        valid: The combinations of its choices that make a model.
        seed: Of the sampler.
        trials: How many are planned: a third of them, 10 at most, are drawn at random.

    Raises:
        MissingExtraError: Optuna is not installed.
        RunError: The journal is damaged.
    """

    def __init__(
        self, folder: Path, *, space: Space, valid: Sequence[Params], seed: int, trials: int
    ) -> None:
        check_optuna()
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self.space, self.valid = space, valid
        path = folder / JOURNAL
        mend(path)
        self._verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self._study: OptunaStudy = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name="heedful",
                load_if_exists=True,
            )
            before = self._study.get_trials(deepcopy=False)
            self.finished()
        except DAMAGE as error:
            optuna.logging.set_verbosity(self._verbosity)
            raise RunError(f"{path} must be whole, got a damaged line: {error}") from None
        self._seed = seed + len(before)  # a search that goes on does not repeat its first draws
        self._study.sampler = _sampler(self._seed, first=min(max(trials // 3, 1), FIRST_AT_RANDOM))
        for trial in before:
            if not trial.state.is_finished() and trial.state.name != "WAITING":
                self._study.tell(trial.number, state=_state("FAIL"))
        self._running: dict[int, OptunaTrial] = {}

    def close(self) -> None:
        """Mark what still runs as failed, and give Optuna's log its old verbosity back."""
        import optuna

        for trial in self._running.values():
            self._study.tell(trial, state=_state("FAIL"), skip_if_finished=True)
        self._running.clear()
        optuna.logging.set_verbosity(self._verbosity)

    def finished(self) -> list[Trial]:
        """Return all trials that have come to an end, by their number."""
        told = [_record(trial) for trial in self._study.get_trials(deepcopy=False)]
        return sorted((one for one in told if one is not None), key=lambda one: one.number)

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
        return params


def mend(path: Path) -> None:
    """Drop the line that a kill cut off, and the lock of whoever was killed; check the others.

    Nobody else may have the journal open.

    Raises:
        RunError: A line in the middle is no entry of a journal.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return
    whole, _, rest = path.read_bytes().rpartition(b"\n")
    if rest:
        write_bytes(path, whole + b"\n" if whole else b"")
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            known = isinstance(json.loads(line)["op_code"], int)
        except (*DAMAGE, RecursionError):
            known = False
        if not known:
            raise RunError(f"{path} must be whole, got a damaged line {number}")


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
