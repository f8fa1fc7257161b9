"""Every task on its built-in data: each model trained for as long, beside a trivial baseline."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from heedful.config.problems import unknown_choice
from heedful.data.examples import Splits
from heedful.errors import ConfigError
from heedful.evaluation import evaluate
from heedful.metrics.interval import Estimate, estimate
from heedful.tasks.base import Task
from heedful.tasks.catalog import find_task, parse_config
from heedful.training.run import Run, build
from heedful.training.start import train

Baseline = Callable[[Task[Any, Any], Splits[Any]], Sequence[Any]]
Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is compared for a task.

    Args:
        metric: Of the test split.
        models: Settings of each, by a name for the table.
        baseline: Its name, and answers to the test split that need no training.
        data: A name for the table.
        tables: Settings of all.
    """

    metric: str
    models: Mapping[str, Tables]
    baseline: tuple[str, Baseline]
    data: str
    tables: Tables


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """One model of one task.

    Args:
        task: As in a config.
        model: Which one.
        data: What it learned.
        metric: Of the test split.
        value: The score.
        interval: 95 % of it.
        higher_is_better: Is a larger score a better one?
        baseline: The score of what needs no training.
        baseline_name: What that is.
        seconds: Spent on training.
        parameters: Of the model.
    """

    task: str
    model: str
    data: str
    metric: str
    value: float
    interval: tuple[float, float]
    higher_is_better: bool
    baseline: float
    baseline_name: str
    seconds: float
    parameters: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def copied(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer a translation with its source."""
    return [SimpleNamespace(text=example.source) for example in splits.test]


def most_frequent(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with the label that the training split has most often."""
    label = Counter(example.label for example in splits.train).most_common(1)[0][0]
    return [SimpleNamespace(label=label)] * len(splits.test)


def untrained(task: Task[Any, Any], splits: Splits[Any]) -> list[Any]:
    """Answer with a model that has learned nothing."""
    torch.manual_seed(task.config.seed)
    return task.answer(build(task).eval(), task.encode(splits.test))


ENTRIES: dict[str, Entry] = {
    "translation": Entry(
        metric="chrf",
        models={
            "Transformer": {},
            "RNN, additive attention": {"model": {"name": "rnn"}},
            "RNN, no attention": {
                "model": {"name": "rnn", "attention": "none", "input_feeding": False}
            },
        },
        baseline=("the source", copied),
        data="CLDR phrases, English to Chinese",
        tables={"data": {"test": 2_000}},
    ),
    "classify-text": Entry(
        metric="accuracy",
        models={
            "attention pooling": {"model": {"name": "pooling"}},
            "LSTM + attention pooling": {"model": {"name": "lstm"}},
            "LSTM + additive pooling": {"model": {"name": "lstm", "score": "additive"}},
            "CNN + attention pooling": {"model": {"name": "cnn"}},
            "Transformer + attention pooling": {"model": {"name": "transformer"}},
        },
        baseline=("most frequent label", most_frequent),
        data="CLDR phrases, 40 languages",
        tables={},
    ),
    "generate-image": Entry(
        metric="frechet",
        models={"GAN with self-attention": {}, "GAN without": {"model": {"attention": False}}},
        baseline=("untrained", untrained),
        data="digits of scikit-learn",
        tables={},
    ),
    "control": Entry(
        metric="return",
        models={
            "attention over 8 moments": {},
            "mean over 8 moments": {"model": {"attention": False}},
            "no memory": {"model": {"memory": 1}},
        },
        baseline=("untrained", untrained),
        data="CartPole, velocities hidden",
        tables={},
    ),
}


def compare_tasks(
    *,
    minutes: float,
    tasks: Sequence[str] | None = None,
    entries: Mapping[str, Entry] = ENTRIES,
    on_progress: Callable[[str], object] = str,
) -> list[TaskRow]:
    """Train every model of every task for so many minutes, and measure it on its test split.

    Args:
        minutes: For each model.
        tasks: Some of the entries; `None` means all.
        entries: What is compared.
        on_progress: Called with what is done next.

    Raises:
        ConfigError: There is no such task, or minutes are not above 0.
        MissingExtraError: A task needs a package that is not installed.
    """
    if not minutes > 0:
        raise ConfigError(f"minutes must be above 0, got {minutes}")
    for name in tasks or ():
        if name not in entries:
            raise ConfigError(unknown_choice("task", entries, name))
    return [
        row
        for name in (entries if tasks is None else tasks)
        for row in _rows(name, entries[name], minutes, on_progress)
    ]


def _rows(
    name: str, entry: Entry, minutes: float, on_progress: Callable[[str], object]
) -> list[TaskRow]:
    rows: list[TaskRow] = []
    trivial: Estimate | None = None
    with tempfile.TemporaryDirectory() as folder:
        for number, (model, tables) in enumerate(entry.models.items()):
            on_progress(f"{name}: {model}")
            run = _trained(name, {**entry.tables, **tables}, minutes, Path(folder) / str(number))
            trivial = _baseline(run, entry) if trivial is None else trivial
            rows.append(_row(name, model, entry, run, trivial))
    return rows


def _trained(name: str, tables: Tables, minutes: float, folder: Path) -> tuple[Run, float]:
    settings = {**tables, "train": {**tables.get("train", {}), "minutes": minutes}}
    began = time.monotonic()
    run = train(parse_config({**settings, "task": name, "output": str(folder)}, name=name))
    return run, time.monotonic() - began


def _baseline(trained: tuple[Run, float], entry: Entry) -> Estimate:
    run = trained[0]
    splits = find_task(run.config.task).read(run.config)
    metric = run.task.metric(entry.metric)
    if metric is None:
        raise ConfigError(f"{run.config.task} must have the metric {entry.metric}, got none")
    answers = entry.baseline[1](run.task, splits)
    return estimate(metric, metric.statistics(answers, splits.test))


def _row(
    name: str, model: str, entry: Entry, trained: tuple[Run, float], trivial: Estimate
) -> TaskRow:
    run, seconds = trained
    report = evaluate(run, split="test")
    found = report.scores[entry.metric]
    return TaskRow(
        task=name,
        model=model,
        data=entry.data,
        metric=entry.metric,
        value=found.score,
        interval=found.interval,
        higher_is_better=report.higher_is_better[entry.metric],
        baseline=trivial.score,
        baseline_name=entry.baseline[0],
        seconds=seconds,
        parameters=run.about["parameters"],
    )
