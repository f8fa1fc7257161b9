"""What the trials of a search have come to, in memory and in its folder."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heedful.config.base import TaskConfig
from heedful.tasks.catalog import AnyTask
from heedful.tuning.folder import tidy, trials_json, write_results
from heedful.tuning.goal import Goal
from heedful.tuning.pruning import Curve, should_prune
from heedful.tuning.space import applied
from heedful.tuning.trial import Trial, nearest, ranked

FINALISTS = 3  # whose latency is measured again, in turns


class Results:
    """All trials that have ended.

    Args:
        config: What is searched around.
        goal: What is wanted.
        folder: Of the search; exists.
        trials: Those that ended before.
        task: Of the config.
    """

    def __init__(
        self, config: TaskConfig, goal: Goal, folder: Path, trials: list[Trial], *, task: AnyTask
    ) -> None:
        self.config, self.goal, self.folder, self.trials = config, goal, folder, trials
        self.task = task
        self.exhausted = False  # nothing is left that could win

    @property
    def best(self) -> Trial | None:
        """The cheapest that keeps the quality."""
        return next(iter(ranked(self.trials, self.goal.keep)), None)

    @property
    def best_cost(self) -> float:
        """What the best one costs."""
        best = self.best
        return math.inf if best is None or best.cost is None else best.cost

    @property
    def finalists(self) -> list[Trial]:
        """Those whose weights stay: the best, or the few among which a last measurement decides."""
        count = FINALISTS if self.goal.cost == "latency" else 1
        return ranked(self.trials, self.goal.keep, final=False)[:count]

    def too_slow(self, curve: Curve) -> bool:
        """Whether a training should be given up, as compared with those that made it."""
        feasible = [trial.curve for trial in self.trials if trial.feasible]
        near = nearest(self.trials, self.goal.keep)
        others = feasible or ([] if near is None else [near.curve])
        higher = self.task.monitor_is_better_higher()
        return should_prune(curve, others, higher_is_better=higher)

    def take(self, trials: list[Trial]) -> None:
        """Take in all trials that have ended, by their number."""
        self.trials = trials

    def remeasure(self, latencies: Mapping[int, float]) -> None:
        """Take in what was measured in turns, by number."""
        self.trials = [
            replace(trial, remeasured=latencies.get(trial.number)) for trial in self.trials
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `trials.json` holds."""
        plain = trials_json(self.goal, self.trials, self.best, seed=self.config.seed)
        return plain | {"exhausted": self.exhausted}

    def write(self, running: Collection[int] = ()) -> None:
        """Write `trials.json` and `best.toml`; delete the weights of losers.

        Args:
            running: Trials that have not ended; runs of others are deleted whole.
        """
        ended = {trial.number for trial in self.trials}
        weights = {trial.number for trial in self.finalists} | {*running}
        tidy(self.folder, self.task, known=ended | {*running}, weights=weights)
        best = self.best
        config = None if best is None else applied(self.config, best.params)
        write_results(self.folder, self.goal, best, config, self.to_json())
