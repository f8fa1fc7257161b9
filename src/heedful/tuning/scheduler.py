"""Which trials are begun, and which are pruned: the scheduler of a search and its workers."""

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from heedful import errors
from heedful.config.base import dump
from heedful.errors import ConfigError, HeedfulError, RunError
from heedful.locks import is_unused
from heedful.tuning.folder import run_folder
from heedful.tuning.goal import Goal
from heedful.tuning.pool import Message, Pool, Worker
from heedful.tuning.results import Results
from heedful.tuning.space import Params, applied, own_params
from heedful.tuning.study import Study
from heedful.tuning.trial import COST, SLOW, State, Trial

MOST_CRASHES = 3  # one after the other
PAUSE = 0.5  # seconds between two looks at what other commands do

Callback = Callable[[Trial, Trial | None], None]
CostOf = Callable[[Params], float | None]


def ignore(trial: Trial, best: Trial | None) -> None:
    """Do nothing."""


@dataclass
class _Running:
    """A trial on its way."""

    number: int
    params: Params
    cost: float | None
    curve: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    began: float = field(default_factory=time.monotonic)
    costs_too_much: bool = False


class Scheduler:
    """One search: those trials that run, and what to try next.

    Args:
        study: Proposes, and remembers what was tried.
        results: Of the trials that have ended.
        trials: How many at most.
        cost_of: The cost of what may be tried; `None` where only training it would tell.
        source: Where workers find a task of the user's own: `module:Class`.
        callback: Called with every trial that has ended, and with the best one so far.
    """

    def __init__(
        self,
        study: Study,
        results: Results,
        *,
        trials: int,
        cost_of: CostOf,
        source: str | None = None,
        callback: Callback = ignore,
    ) -> None:
        self.study, self.results, self.trials = study, results, trials
        self.callback, self.cost_of = callback, cost_of
        self.config, self.goal, self.folder = results.config, results.goal, results.folder
        self.sent = {"task_from": source, "path": [] if source is None else sys.path}
        self.running: dict[Worker, _Running] = {}
        self._crashes = 0
        crew = study.crew
        self.logs = self.folder / "workers" if crew is None else crew.logs

    def run(self, pool: Pool) -> None:
        """Go on until all trials have ended, or nothing is left that could win.

        Raises:
            HeedfulError: A worker met an error that would meet every trial.
        """
        while True:
            with self._alone():
                self._catch_up()
                for worker in pool.free():
                    self._begin(pool, worker)
                others = bool(self.study.others())
            if pool.waiting():
                for worker, message in pool.receive():
                    with self._alone():
                        self._handle(worker, message)
            elif others:  # their trials are missing still; or they die, and leave them to us
                time.sleep(PAUSE)
            else:
                break
        if self.goal.cost == "latency":
            with self._alone():
                self._measure_again(pool)

    def close(self) -> None:
        """Drop what still runs, and write what has ended."""
        self.running.clear()
        with self._alone():
            self.study.close()
            self._write()

    def _alone(self) -> AbstractContextManager[None]:
        """While this lasts, no other command of the search does anything but train."""
        return self.study.alone()

    def _catch_up(self) -> None:
        """Take in what other commands have come to, and what they leave behind."""
        if self.study.release_dead():
            self.results.exhausted = False
        self.results.take(self.study.finished())
        self._write()

    def _write(self) -> None:
        self.results.write({*self._numbers(), *self.study.others()})

    def _numbers(self) -> set[int]:
        return {running.number for running in self.running.values()}

    # ---- beginning ---------------------------------------------------------------------------

    def _begin(self, pool: Pool, worker: Worker) -> None:
        begun = {trial.number for trial in self.results.trials} | self._numbers()
        begun |= self.study.others().keys()
        if self.results.exhausted or len(begun) >= self.trials:
            return
        # what an interrupt cut short is free again, unless somebody has put something there
        number = next(
            number
            for number in itertools.count(1)
            if number not in begun and is_unused(run_folder(self.folder, number))
        )
        params = self._params(number)
        if params is None:
            self.results.exhausted = True
            return
        config = applied(self.config, params)
        config = config.model_copy(update={"output": str(run_folder(self.folder, number))})
        self.running[worker] = _Running(number, params, self.cost_of(params))
        command = {"kind": "train", "config": dump(config), "goal": self.goal.to_json()}
        pool.give(worker, command | self.sent)

    def _params(self, number: int) -> Params | None:
        if number == 1 and not self.study.to_try_again():
            own = own_params(self.config, self.study.space, self.study.valid)
            if own is not None:
                return self.study.enqueue(number, own)
        return self.study.ask(number, self._refuse)

    def _refuse(self, params: Params) -> str | None:
        tried = [trial.params for trial in self.results.trials]
        tried += [running.params for running in self.running.values()]
        tried += self.study.others().values()
        if not self.study.space.ranges and params in tried:
            return "tried"
        try:
            cost = self.cost_of(params)
        except ConfigError:  # the model refuses what its task did not
            return "no model"
        return COST if cost is not None and cost >= self.results.best_cost else None

    # ---- messages ----------------------------------------------------------------------------

    def _handle(self, worker: Worker, message: Message) -> None:
        kind, running = message["kind"], self.running.get(worker)
        if running is None:  # it died without work
            return
        if kind == "started":
            worker.send({"stop": self._costs_too_much(running)})
        elif kind == "evaluated":
            share, score = message["share"], message["score"]
            running.curve.append((share, score))
            higher = self.results.task.monitor_is_better_higher()
            self.study.report(running.number, share, -score if higher else score)
            worker.send({"stop": self._prunes(running)})
        elif kind == "error":
            raise _error(message)
        else:
            worker.busy = False
            del self.running[worker]
            self._end(running, message)

    def _costs_too_much(self, running: _Running) -> bool:
        cost = running.cost
        running.costs_too_much = cost is not None and cost >= self.results.best_cost
        return running.costs_too_much

    def _prunes(self, running: _Running) -> bool:
        if running.curve[-1][0] >= 1:
            return False  # nothing is saved any more
        return self._costs_too_much(running) or self.results.too_slow(running.curve)

    def _end(self, running: _Running, message: Message) -> None:
        self._crashes = self._crashes + 1 if message["kind"] == "died" else 0
        trial = _trial(running, message, self.goal)
        missed = 0.0 if trial.quality is None else self.goal.keep.missed_by(trial.quality)
        self.study.tell(trial, missed)
        self.results.take(self.study.finished())
        self._write()
        self.callback(trial, self.results.best)
        if self._crashes >= MOST_CRASHES:
            raise RunError(
                f"workers must live, got {MOST_CRASHES} dead ones in a row: {trial.reason}"
            )

    def _measure_again(self, pool: Pool) -> None:
        """Measure the latency of the finalists in turns, with nothing else at work."""
        finalists = [trial.number for trial in self.results.finalists]
        if len(finalists) < 2:
            return
        runs = [str(run_folder(self.folder, number)) for number in finalists]
        message = pool.ask(pool.free()[0], {"kind": "measure", "runs": runs} | self.sent)
        if message["kind"] != "measured":
            raise _error(message)
        self.results.remeasure(dict(zip(finalists, message["milliseconds"], strict=True)))


def _trial(running: _Running, message: Message, goal: Goal) -> Trial:
    """A trial as the last message about it says."""
    quality: float | None = None
    state: State = "fail"
    reason: str | None = message.get("reason")
    if message["kind"] == "done":
        state, quality = "complete", float(message["quality"])
        if goal.cost == "latency":
            running.cost = message["latency"]
    elif message["kind"] == "stopped":
        state, reason = "pruned", COST if running.costs_too_much else SLOW
    return Trial(
        number=running.number,
        params=running.params,
        state=state,
        feasible=None if quality is None else goal.keep.missed_by(quality) <= 0,
        quality=quality,
        cost=running.cost,
        seconds=time.monotonic() - running.began,
        curve=tuple(running.curve),
        reason=reason,
    )


def _error(message: Message) -> HeedfulError:
    """The error that a worker met, as its own kind."""
    if message["kind"] == "died":
        return RunError(f"workers must live, got a dead one: {message['reason']}")
    kind: type[HeedfulError] = getattr(errors, message["error"])
    return kind(message["message"])
