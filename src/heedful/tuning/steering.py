"""Where a search stands: it hands out trials, answers the workers and keeps what they bring."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from heedful import errors
from heedful.config.base import dump
from heedful.errors import HeedfulError, RunError
from heedful.locks import is_unused
from heedful.tuning.folder import run_folder
from heedful.tuning.goal import Goal
from heedful.tuning.macs import attention_macs
from heedful.tuning.pool import Message, Pool, Worker
from heedful.tuning.results import Results
from heedful.tuning.space import Settings, applied, own_settings
from heedful.tuning.study import Study
from heedful.tuning.trial import State, Trial

MOST_CRASHES = 3  # one after the other

Listener = Callable[[Trial, Trial | None], None]


def ignore(trial: Trial, best: Trial | None) -> None:
    """Listen to nothing."""


@dataclass
class _Running:
    """A trial on its way."""

    number: int
    settings: Settings
    cost: float | None
    curve: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    began: float = field(default_factory=time.monotonic)
    dearer: bool = False


class Steering:
    """One search: those trials that run, and what to try next.

    Args:
        study: Proposes, and remembers what was tried.
        results: Of the trials that have ended.
        trials: How many at most.
        listener: Called with every trial that has ended, and with the best one so far.
    """

    def __init__(
        self, study: Study, results: Results, *, trials: int, listener: Listener = ignore
    ) -> None:
        self.study, self.results, self.trials, self.listener = study, results, trials, listener
        self.config, self.goal, self.folder = results.config, results.goal, results.folder
        self.running: dict[Worker, _Running] = {}
        self._crashes = 0

    def run(self, pool: Pool) -> None:
        """Go on until all trials have ended, or nothing is left that could win.

        Raises:
            HeedfulError: A worker met an error that would meet every trial.
        """
        self._write()
        while True:
            for worker in pool.free():
                self._begin(pool, worker)
            if not pool.waiting():
                break
            for worker, message in pool.receive():
                self._hear(worker, message)
        if self.goal.cost == "latency":
            _measure_again(self.results, pool)

    def close(self) -> None:
        """Drop what still runs, and write what has ended."""
        self.running.clear()
        self.study.close()
        self._write()

    def _write(self) -> None:
        self.results.write([running.number for running in self.running.values()])

    # ---- beginning ---------------------------------------------------------------------------

    def _begin(self, pool: Pool, worker: Worker) -> None:
        begun = {trial.number for trial in self.results.trials}
        begun |= {running.number for running in self.running.values()}
        if self.results.exhausted or len(begun) >= self.trials:
            return
        # numbers of trials that an interrupt cut short are free again, unless somebody else has put
        # something there
        number = next(
            number
            for number in itertools.count(1)
            if number not in begun and is_unused(run_folder(self.folder, number))
        )
        settings = self._settings(number)
        if settings is None:
            self.results.exhausted = True
            return
        config = applied(self.config, settings)
        config = config.model_copy(update={"output": str(run_folder(self.folder, number))})
        self.running[worker] = _Running(number, settings, self._known_cost(settings))
        command = {"kind": "train", "config": dump(config), "goal": self.goal.to_json()}
        pool.give(worker, command)

    def _settings(self, number: int) -> Settings | None:
        if number == 1:
            own = own_settings(self.config, self.study.space, self.study.valid)
            if own is not None:
                return self.study.begin_with(number, own)
        return self.study.propose(number, self._refuse)

    def _refuse(self, settings: Settings) -> str | None:
        cost = self._known_cost(settings)
        if cost is not None and cost >= self.results.best_cost:
            return "dearer"
        tried = [trial.settings for trial in self.results.trials]
        tried += [running.settings for running in self.running.values()]
        return "tried" if not self.study.space.ranges and settings in tried else None

    def _known_cost(self, settings: Settings) -> float | None:
        """The cost, where it is known before anything is trained."""
        if self.goal.cost != "macs":
            return None
        model = applied(self.config, settings).model
        return float(attention_macs(model, length=self.goal.length))

    # ---- listening ---------------------------------------------------------------------------

    def _hear(self, worker: Worker, message: Message) -> None:
        kind, running = message["kind"], self.running.get(worker)
        if running is None:  # it died without work
            return
        if kind == "started":
            if self.goal.cost == "parameters":
                running.cost = float(message["parameters"])
            worker.send({"stop": self._is_dearer(running)})
        elif kind == "evaluated":
            running.curve.append((message["share"], message["dev_loss"]))
            self.study.report(running.number, message["share"], message["dev_loss"])
            worker.send({"stop": self._gives_up(running)})
        elif kind == "error":
            raise _error(message)
        else:
            worker.busy = False
            del self.running[worker]
            self._end(running, message)

    def _is_dearer(self, running: _Running) -> bool:
        running.dearer = running.cost is not None and running.cost >= self.results.best_cost
        return running.dearer

    def _gives_up(self, running: _Running) -> bool:
        if running.curve[-1][0] >= 1:
            return False  # nothing is saved any more
        return self._is_dearer(running) or self.results.too_slow(running.curve)

    def _end(self, running: _Running, message: Message) -> None:
        self._crashes = self._crashes + 1 if message["kind"] == "died" else 0
        trial = _trial(running, message, self.goal)
        missed = 0.0 if trial.quality is None else self.goal.keep.missed_by(trial.quality)
        self.study.finish(trial, missed)
        self.results.add(trial)
        self._write()
        self.listener(trial, self.results.best)
        if self._crashes >= MOST_CRASHES:
            raise RunError(
                f"workers must live, got {MOST_CRASHES} dead ones in a row: {trial.reason}"
            )


def _trial(running: _Running, message: Message, goal: Goal) -> Trial:
    """A trial as the last message about it says."""
    quality: float | None = None
    state: State = "failed"
    if message["kind"] == "done":
        quality = float(message["quality"])
        if goal.cost == "latency":
            running.cost = message["latency"]
        state = "kept" if goal.keep.missed_by(quality) <= 0 else "missed"
    elif message["kind"] == "stopped":
        state = "dearer" if running.dearer else "stopped"
    return Trial(
        number=running.number,
        settings=running.settings,
        state=state,
        quality=quality,
        cost=running.cost,
        seconds=time.monotonic() - running.began,
        curve=tuple(running.curve),
        reason=message.get("reason"),
    )


def _measure_again(results: Results, pool: Pool) -> None:
    """Measure the latency of the finalists in turns, with nothing else at work."""
    finalists = [trial.number for trial in results.finalists]
    if len(finalists) < 2:
        return
    runs = [str(run_folder(results.folder, number)) for number in finalists]
    message = pool.ask(pool.free()[0], {"kind": "measure", "runs": runs})
    if message["kind"] != "measured":
        raise _error(message)
    results.remeasure(dict(zip(finalists, message["milliseconds"], strict=True)))


def _error(message: Message) -> HeedfulError:
    """The error that a worker met, as its own kind."""
    if message["kind"] == "died":
        return RunError(f"workers must live, got a dead one: {message['reason']}")
    kind: type[HeedfulError] = getattr(errors, message["error"])
    return kind(message["message"])
