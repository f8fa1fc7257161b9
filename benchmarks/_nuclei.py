"""Models of one task on microscope images of nuclei, compared after equal time beside baselines."""

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _measure import write

import heedful
from heedful.bench.entry import find_entry
from heedful.metrics.interval import Estimate, estimate
from heedful.tasks.catalog import find_task, load_config

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared.

    Args:
        task: Of all models.
        config: A file in `configs`.
        metrics: In the order of the columns.
        models: Epochs of each, in those of the one that gets as many as are asked for, and its
            settings, by a name for the table.
        about: What stands above the table.
    """

    task: str
    config: str
    metrics: Sequence[str]
    models: Mapping[str, tuple[float, Sequence[str]]]
    about: Sequence[str]

    def line(
        self, name: str, split: str, scores: Mapping[str, Estimate], seconds: float, size: int
    ) -> str:
        """One row of the table."""
        cells = [
            f"{found.score:.1f} [{found.interval[0]:.1f}, {found.interval[1]:.1f}]"
            for found in (scores[metric] for metric in self.metrics)
        ]
        return f"| {name} | {split} | {' | '.join(cells)} | {seconds:.0f} | {size:,} |"

    def baselines(self, config: Any) -> list[str]:
        """Rows of what needs no network."""
        kind = find_task(self.task)
        splits = kind.read(config)
        task, lines = kind.fit(config, splits.train), list[str]()
        for name, baseline in find_entry(self.task).baselines.items():
            began = time.process_time()
            answers = baseline(task, splits)
            seconds = time.process_time() - began
            scores = {
                each.name: estimate(each, each.statistics(answers, splits.test))
                for each in map(kind.metric, self.metrics)
                if each is not None
            }
            lines.append(self.line(name, "test", scores, seconds, 0))
            print(lines[-1], file=sys.stderr, flush=True)
        return lines

    def trained(self, name: str, epochs: float, runs: Path) -> list[str]:
        """Rows of one model: of its dev split, and of its test split."""
        factor, settings = self.models[name]
        folder = runs / name.replace(" ", "_")
        shutil.rmtree(folder, ignore_errors=True)
        told = [f"output={folder}", f"train.epochs={epochs * factor:.2f}", *settings]
        began = time.process_time()
        run = heedful.train(load_config(CONFIGS / self.config, overrides=told))
        seconds = time.process_time() - began
        lines: list[str] = []
        for split in ("dev", "test"):
            scores = heedful.evaluate(run, split=split).scores
            lines.append(self.line(name, split, scores, seconds, int(run.about["parameters"])))
            print(lines[-1], file=sys.stderr, flush=True)
        return lines

    def run(self, description: str | None) -> None:
        """Read the command line, train, and write the table."""
        whose = next(name for name, (factor, _) in self.models.items() if factor == 1)
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--epochs", type=float, default=8.0, help=f"of {whose}")
        parser.add_argument("--models", nargs="*", choices=self.models, default=list(self.models))
        parser.add_argument("--runs", type=Path, default=Path("runs") / self.task)
        arguments = parser.parse_args()
        names = ("model", "split", *self.metrics, "seconds", "parameters")
        lines = [*self.about, "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        for name in arguments.models:
            lines += self.trained(name, arguments.epochs, arguments.runs)
        lines += self.baselines(load_config(CONFIGS / self.config))
        write(self.task, lines)
