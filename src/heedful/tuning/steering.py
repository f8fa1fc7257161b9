"""Where a search stands: it hands out trials, answers the workers and keeps what they bring."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heedful import errors
from heedful.config import Config, dump
from heedful.errors import HeedfulError, RunError
from heedful.tuning.folder import run_folder, tidy, trials_json, write_results
from heedful.tuning.goal import Goal
from heedful.tuning.macs import attention_macs
from heedful.tuning.pool import Message, Pool, Worker
from heedful.tuning.pruning import hopeless
from heedful.tuning.space import Settings, applied, own_settings
from heedful.tuning.study import Study
from heedful.tuning.trial import State, Trial, nearest, ranked

FINALISTS = 3  # whose latency is measured again, in turns
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
    """One search: its trials, those that run and those that have ended.

    Args:
        config: What is searched around.
        goal: What is wanted.
        folder: Of the search; exists.
        study: Proposes, and remembers what was tried.
        trials: How many at most.
    """

    def __init__(self, config: Config, goal: Goal, folder: Path, study: Study, trials: int) -> None:
        self.config, self.goal, self.folder, self.study = config, goal, folder, study
        self.trials = trials
        self.ended = study.finished()
        self.running: dict[Worker, _Running] = {}
        self.listener: Listener = ignore
        self.exhausted = False
        self._next = study.highest() + 1
        self._crashes = 0

    @property
    def best(self) -> Trial | None:
        """The cheapest that keeps the quality."""
        return next(iter(ranked(self.ended, self.goal.keep)), None)

    @property
    def best_cost(self) -> float:
        """What the best one costs."""
        best = self.best
        return math.inf if best is None or best.cost is None else best.cost

    def run(self, pool: Pool) -> None:
        """Go on until all trials have ended, or nothing is left that could win.

        Raises:
            HeedfulError: A worker met an error that would meet every trial.
        """
        self.tidy()
        while True:
            for worker in pool.free():
                self._begin(pool, worker)
            if not pool.waiting():
                break
            for worker, message in pool.receive():
                self._hear(worker, message)
        if self.goal.cost == "latency":
            self._final(pool)

    def close(self) -> None:
        """Drop what still runs, and write what has ended."""
        self.running.clear()
        self.study.close()
        self.tidy()
        self.write()

    def to_json(self) -> dict[str, Any]:
        """Return what `trials.json` holds."""
        plain = trials_json(self.goal, self.ended, self.best, seed=self.config.seed)
        return plain | {"exhausted": self.exhausted}

    def write(self) -> None:
        """Write `trials.json` and `best.toml`."""
        best = self.best
        config = None if best is None else applied(self.config, best.settings)
        write_results(self.folder, self.goal, best, config, self.to_json())

    def tidy(self) -> None:
        """Delete the weights of losers, and runs that nobody finished."""
        winners = ranked(self.ended, self.goal.keep, final=False)
        count = FINALISTS if self.goal.cost == "latency" else 1
        ended = {trial.number for trial in self.ended}
        running = {running.number for running in self.running.values()}
        weights = running | {trial.number for trial in winners[:count]}
        tidy(self.folder, known=ended | running, weights=weights)

    # ---- beginning ---------------------------------------------------------------------------

    def _begin(self, pool: Pool, worker: Worker) -> None:
        if self.exhausted or len(self.ended) + len(self.running) >= self.trials:
            return
        number = self._next
        settings = self._settings(number)
        if settings is None:
            self.exhausted = True
            return
        self._next += 1
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
        if cost is not None and cost >= self.best_cost:
            return "dearer"
        tried = [trial.settings for trial in self.ended]
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
        running.dearer = running.cost is not None and running.cost >= self.best_cost
        return running.dearer

    def _gives_up(self, running: _Running) -> bool:
        if running.curve[-1][0] >= 1:
            return False  # nothing is saved any more
        kept = [trial.curve for trial in self.ended if trial.state == "kept"]
        near = nearest(self.ended, self.goal.keep)
        made_it = kept or ([] if near is None else [near.curve])
        return self._is_dearer(running) or hopeless(running.curve, made_it)

    def _end(self, running: _Running, message: Message) -> None:
        self._crashes = self._crashes + 1 if message["kind"] == "died" else 0
        trial = self._trial(running, message)
        missed = 0.0 if trial.quality is None else self.goal.keep.missed_by(trial.quality)
        self.study.finish(trial, missed)
        self.ended = sorted([*self.ended, trial], key=lambda one: one.number)
        self.tidy()
        self.write()
        self.listener(trial, self.best)
        if self._crashes >= MOST_CRASHES:
            raise RunError(
                f"workers must live, got {MOST_CRASHES} dead ones in a row: {trial.reason}"
            )

    def _trial(self, running: _Running, message: Message) -> Trial:
        quality: float | None = None
        state: State = "failed"
        if message["kind"] == "done":
            quality = float(message["quality"])
            if self.goal.cost == "latency":
                running.cost = message["latency"]
            state = "kept" if self.goal.keep.missed_by(quality) <= 0 else "missed"
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

    # ---- the end -----------------------------------------------------------------------------

    def _final(self, pool: Pool) -> None:
        """Measure the best again, in turns and with nothing else at work."""
        finalists = ranked(self.ended, self.goal.keep, final=False)[:FINALISTS]
        if len(finalists) < 2:
            return
        runs = [str(run_folder(self.folder, trial.number)) for trial in finalists]
        message = pool.ask(pool.free()[0], {"kind": "measure", "runs": runs})
        if message["kind"] != "measured":
            raise _error(message)
        numbers = (trial.number for trial in finalists)
        measured = dict(zip(numbers, message["milliseconds"], strict=True))
        self.ended = [replace(trial, remeasured=measured.get(trial.number)) for trial in self.ended]


def _error(message: Message) -> HeedfulError:
    """The error that a worker met, as its own kind."""
    if message["kind"] == "died":
        return RunError(f"workers must live, got a dead one: {message['reason']}")
    kind: type[HeedfulError] = getattr(errors, message["error"])
    return kind(message["message"])
