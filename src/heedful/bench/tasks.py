"""Every task on its built-in data: each model trained for as long, beside simple baselines."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heedful.bench.entry import Entry, Tables, find_entry
from heedful.bench.memory import run_with_peak
from heedful.config.problems import unknown_choice
from heedful.data.examples import Splits
from heedful.errors import ConfigError
from heedful.evaluation import evaluate
from heedful.metrics.interval import estimate
from heedful.metrics.metric import Metric
from heedful.tasks.catalog import BUILT_IN, find_task, parse_config
from heedful.tasks.measure import measure
from heedful.training.run import Run
from heedful.training.start import train

Trained = Callable[[str, Entry, Run], object]


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
        dev: The score of the dev split, which chose the checkpoint.
        baselines: Scores of the test split without a network, the trivial one first.
        shift: A name and the score of examples from elsewhere; `None` where the task has none.
        seconds: Spent on training.
        peak_memory_mib: By how much the memory of the process grew meanwhile; `None` where the
            system does not tell.
        parameters: Of the model.
    """

    task: str
    model: str
    data: str
    metric: str
    value: float
    interval: tuple[float, float]
    higher_is_better: bool
    dev: float
    baselines: Mapping[str, float]
    shift: tuple[str, float] | None
    seconds: float
    peak_memory_mib: float | None
    parameters: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def compare_tasks(
    *,
    minutes: float,
    tasks: Sequence[str] | None = None,
    on_progress: Callable[[str], object] = str,
    on_trained: Trained | None = None,
) -> list[TaskRow]:
    """Train every model of every task for so many minutes, and measure it on its test split.

    Args:
        minutes: For each model.
        tasks: Some of the built-in ones; `None` means all.
        on_progress: Called with what is done next.
        on_trained: Called with the name of each task, its entry and the run of its first model,
            which is gone afterwards.

    Raises:
        ConfigError: There is no such task, or minutes are not above 0.
        MissingExtraError: A task or a baseline needs a package that is not installed.
    """
    if not minutes > 0:
        raise ConfigError(f"minutes must be above 0, got {minutes}")
    for name in tasks or ():
        if name not in BUILT_IN:
            raise ConfigError(unknown_choice("task", BUILT_IN, name))
    rows: list[TaskRow] = []
    for name in BUILT_IN if tasks is None else tasks:
        rows += compare_task(
            name, find_entry(name), minutes, on_progress=on_progress, on_trained=on_trained
        )
    return rows


def compare_task(
    name: str,
    entry: Entry,
    minutes: float,
    *,
    on_progress: Callable[[str], object] = str,
    on_trained: Trained | None = None,
) -> list[TaskRow]:
    """Train every model of one task; see `compare_tasks`."""
    rows: list[TaskRow] = []
    baselines: Mapping[str, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for number, (model, tables) in enumerate(entry.models.items()):
            on_progress(f"{name}: {model}")
            began = time.monotonic()
            run, peak = run_with_peak(
                lambda tables=tables, number=number: _trained(
                    name, {**entry.tables, **tables}, minutes, Path(folder) / str(number)
                )
            )
            seconds = time.monotonic() - began
            if baselines is None:
                baselines = baseline_scores(run, entry)
                if on_trained is not None:
                    on_trained(name, entry, run)
            rows.append(_row((name, model), entry, run, baselines, (seconds, peak)))
    return rows


def baseline_scores(run: Run, entry: Entry, splits: Splits[Any] | None = None) -> dict[str, float]:
    """Return the score of every baseline on the test split.

    Args:
        run: Knows the task, as it was fitted.
        entry: Has the baselines.
        splits: `None` means those that the config of the run says.
    """
    splits = find_task(run.config.task).read(run.config) if splits is None else splits
    metric = _metric(run, entry)
    return {
        name: metric.score(metric.statistics(answers(run.task, splits), splits.test))
        for name, answers in entry.baselines.items()
    }


def _trained(name: str, tables: Tables, minutes: float, folder: Path) -> Run:
    settings = {**tables, "train": {**tables.get("train", {}), "minutes": minutes}}
    return train(parse_config({**settings, "task": name, "output": str(folder)}, name=name))


def _metric(run: Run, entry: Entry) -> Metric:
    metric = run.task.metric(entry.metric)
    if metric is None:
        raise ConfigError(f"{run.config.task} must have the metric {entry.metric}, got none")
    return metric


def _shift(run: Run, entry: Entry) -> tuple[str, float] | None:
    if entry.shift is None:
        return None
    name, make = entry.shift
    examples, metric = make(run.config), _metric(run, entry)
    data = run.task.encode(examples)
    found = measure(run.task, run.model, data, examples, metrics=[metric])
    return name, estimate(metric, found[metric.name]).score


def _row(
    names: tuple[str, str],
    entry: Entry,
    run: Run,
    baselines: Mapping[str, float],
    spent: tuple[float, int | None],
) -> TaskRow:
    report, dev = (evaluate(run, split=split) for split in ("test", "dev"))
    found, (seconds, peak) = report.scores[entry.metric], spent
    return TaskRow(
        task=names[0],
        model=names[1],
        data=entry.data,
        metric=entry.metric,
        value=found.score,
        interval=found.interval,
        higher_is_better=report.higher_is_better[entry.metric],
        dev=dev.scores[entry.metric].score,
        baselines=baselines,
        shift=_shift(run, entry),
        seconds=seconds,
        peak_memory_mib=None if peak is None else peak / 2**20,
        parameters=run.about["parameters"],
    )
