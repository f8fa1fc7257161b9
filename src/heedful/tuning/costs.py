"""What a config costs that nobody has trained: its parameters, the multiply-adds of its attention.

The task is fitted once, since vocabularies and labels decide on sizes too; every candidate is then
built with fresh weights.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from heedful.config.base import TaskConfig, dump
from heedful.config.hints import Value
from heedful.errors import DataError
from heedful.tasks.base import Task
from heedful.tasks.catalog import AnyTask
from heedful.tasks.spread import spread_by_size
from heedful.tuning.goal import Goal
from heedful.tuning.macs import attending, attention_macs
from heedful.tuning.space import applied

EXAMPLES = 4  # of the dev split, evenly over their sizes
FREE = ("model", "train")  # what a fitted task does not depend on


class Costs:
    """Costs of candidates, each counted once; a context manager.

    Args:
        config: What is searched around.
        goal: Which cost is asked for.
        task: Of the config.
    """

    def __init__(self, config: TaskConfig, goal: Goal, task: AnyTask) -> None:
        self.config, self.goal, self.task = config, goal, task
        self._folder = tempfile.TemporaryDirectory(prefix="heedful-tune-")
        self._known: dict[str, float] = {}
        self._sites: dict[str, list[str]] = {}
        self._fitted: dict[str, tuple[Path, list[Any]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def __call__(self, params: Mapping[str, Value]) -> float | None:
        """Return the cost of a candidate; `None` where only training it would tell.

        Raises:
            ConfigError: It makes no model.
            DataError: The data cannot be used.
        """
        if self.goal.cost == "latency":
            return None
        config = applied(self.config, params)
        key = _key(config, without=("train",))
        if key not in self._known:
            task, examples = self._ready(config)
            self._known[key] = (
                self._macs(task, examples)
                if self.goal.cost == "macs"
                else float(count_parameters(task))
            )
        return self._known[key]

    def _macs(self, task: Task[Any, Any], examples: list[Any]) -> float:
        model = task.build().eval()
        # candidates differ in sizes for the most part, and finding out takes longer than counting
        structure = str([(name, type(module)) for name, module in model.named_modules()])
        if structure not in self._sites:
            self._sites[structure] = attending(task, model, examples[0])
        return attention_macs(task, model, examples, sites=self._sites[structure])

    def _ready(self, config: TaskConfig) -> tuple[Task[Any, Any], list[Any]]:
        """The task of a candidate, and examples to count with."""
        key = _key(config, without=FREE)
        if key not in self._fitted:
            splits = self.task.read(self.task.located(config))
            if not splits.dev:
                raise DataError("the dev split must hold an example, got none")
            task = self.task.fit(config, splits.train)
            folder = Path(self._folder.name) / str(len(self._fitted))
            for file in (folder / "-", *(folder / name for name in self.task.files)):
                file.parent.mkdir(parents=True, exist_ok=True)
            task.save(folder)
            self._fitted[key] = folder, spread_by_size(task, splits.dev, count=EXAMPLES)
        folder, examples = self._fitted[key]
        return self.task.load(config, folder), examples


def count_parameters(task: Task[Any, Any]) -> int:
    """Return how many parameters the model of a task has, without filling them where it can."""
    try:
        with torch.device("meta"):
            model: nn.Module = task.build()
    except (NotImplementedError, RuntimeError):  # something reads numbers that are not there
        model = task.build()
    return sum(parameter.numel() for parameter in model.parameters())


def _key(config: TaskConfig, *, without: tuple[str, ...]) -> str:
    tables = dump(config)
    return json.dumps({key: tables[key] for key in tables if key not in without}, sort_keys=True)
