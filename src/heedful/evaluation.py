"""Quality with intervals, and speed and memory beside it."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

try:
    import resource
except ImportError:  # not on Windows
    resource = None

from heedful.errors import ConfigError, DataError
from heedful.metrics.interval import Estimate, estimates
from heedful.tasks.base import Task
from heedful.tasks.measure import measure
from heedful.training.run import Run


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run is worth on one split.

    Args:
        run: The run folder.
        split: `dev` or `test`.
        examples: How many were answered.
        scores: By the name of the metric, with 95 % intervals.
        higher_is_better: For each metric.
        units: What stands behind the number, e.g. `%`, for each metric.
        by_kind: The scores of answers for each kind of example, where the data names kinds.
        unit: What the throughput is counted in, e.g. tokens.
        per_second: How many of them were answered in a second, search included.
        seconds: Time that took.
        peak_memory_mib: Most memory the process has held so far; on a GPU, of the GPU. `None` where
            the platform does not say.
        remarks: How many examples have something remarkable about them, by its name.
        details: How was measured and searched.
    """

    run: str
    split: str
    examples: int
    scores: Mapping[str, Estimate]
    higher_is_better: Mapping[str, bool]
    units: Mapping[str, str]
    by_kind: Mapping[str, Mapping[str, float]]
    unit: str
    per_second: float
    seconds: float
    peak_memory_mib: float | None
    remarks: Mapping[str, int]
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, each score beside its interval."""
        scores: dict[str, Any] = {}
        for name, estimate in self.scores.items():
            scores |= {name: estimate.score, f"{name}_interval": estimate.interval}
        return {
            **{"run": self.run, "split": self.split, "examples": self.examples},
            **scores,
            "by_kind": {kind: dict(found) for kind, found in self.by_kind.items()},
            f"{self.unit}_per_second": self.per_second,
            "seconds": self.seconds,
            "peak_memory_mib": self.peak_memory_mib,
            **self.details,
            **self.remarks,
        }


def evaluate(
    run: Run | str | Path,
    *,
    split: str = "test",
    beam: int | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
) -> Report:
    """Answer a held-out split and compare the answers with the truth.

    Args:
        run: A run or its folder.
        split: `dev` or `test`.
        beam: Short for `decode.beam=…` in `overrides`, of tasks that search.
        overrides: Other settings for the answers, such as `decode.length_penalty=1.0`.
        seed: Of the resampling behind the intervals.

    Returns:
        Scores with 95 % intervals from 1,000 bootstrap resamples of the examples; those of shares
        near 0 or 1 are Wilson's.

    Raises:
        ConfigError: There is no such split or setting, or the task has no metric.
        DataError: The split is empty.
        RunError: The run is damaged.

    Source:
        Koehn 2004, "Statistical significance tests for machine translation evaluation", section 3.
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    run = run if isinstance(run, Run) else Run(run)
    beams = () if beam is None else (f"decode.beam={beam}",)
    task, model = run.answering([*overrides, *beams]), run.model
    if not task.metrics:
        raise ConfigError(f"{task.config.task} must have a metric to be evaluated, got none")
    examples = run.examples(split)
    if not examples:
        other = " Try --split dev." if split == "test" else ""
        raise DataError(f"the {split} split must hold an example, got none.{other}")
    data = task.encode(examples)
    began = time.perf_counter()
    with torch.inference_mode():
        answers = task.answer(model, data)
    seconds = time.perf_counter() - began
    found = measure(task, model, data, examples, answers=answers)
    chosen = [(metric, found[metric.name]) for metric in task.metrics]
    scores = estimates(chosen, seed=seed)
    return Report(
        run=str(run.folder),
        split=split,
        examples=len(examples),
        scores={metric.name: score for (metric, _), score in zip(chosen, scores, strict=True)},
        higher_is_better={metric.name: metric.higher_is_better for metric, _ in chosen},
        units={metric.name: metric.unit for metric, _ in chosen},
        by_kind=_by_kind(task, examples, answers),
        unit=task.unit,
        per_second=task.amount(answers) / seconds,
        seconds=seconds,
        peak_memory_mib=_peak_memory_mib(),
        remarks=task.remark(data, answers),
        details=task.details(examples),
    )


def _by_kind(
    task: Task[Any, Any], examples: Sequence[Any], answers: Sequence[Any]
) -> dict[str, dict[str, float]]:
    kinds = [task.kind(example) for example in examples]
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({*kinds} - {""}):
        rows = [row for row, each in enumerate(kinds) if each == kind]
        own = [answers[row] for row in rows], [examples[row] for row in rows]
        scores = {
            metric.name: metric.score(metric.statistics(*own))
            for metric in task.metrics
            if metric.reads == "answers"
        }
        found[kind] = {"examples": len(rows), **scores}
    return found


def _peak_memory_mib() -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB
