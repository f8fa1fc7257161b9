"""Summaries with copied words, and without, beside sentences of the text itself.

Built-in docstrings of modules that were not learned, and titles of Chinese papers from their
abstracts (`benchmarks/configs/csl_titles.toml`). Needs scikit-learn.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from _measure import write

import heedful
from heedful.bench.entries.summarise import ENTRY
from heedful.data.examples import Splits
from heedful.metrics.interval import Estimate, estimate
from heedful.tasks.base import Task
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.training.run import Run

CONFIGS = Path(__file__).parent / "configs"
NAMES = ("rougeL", "rouge1", "rouge2")
SPLITS = {"docstrings": ("dev", "test"), "csl_titles": ("dev",)}


def read(data: str, overrides: list[str]) -> Any:
    """The config of a data set."""
    if data == "docstrings":
        return parse_config({"task": "summarise"}, overrides=overrides)
    return load_config(CONFIGS / f"{data}.toml", overrides=overrides)


def trained(data: str, model: str, folder: Path, settings: list[str]) -> tuple[Run, float]:
    """A run, and the processor seconds of its training."""
    plain = ENTRY.models[model].get("model", {})
    chosen = [f"model.{key}={value}" for key, value in plain.items() if key != "name"]
    if "name" in plain:
        body = ", ".join(f'{key}="{value}"' for key, value in plain.items())
        chosen = [f"model={{{body}}}"]
    began = time.process_time()
    config = read(data, [f'output="{folder}"', *chosen, *settings])
    return heedful.train(config), time.process_time() - began


def answered(
    task: Task[Any, Any], splits: Splits[Any], split: str
) -> dict[str, dict[str, Estimate]]:
    """The scores of each baseline on one split."""
    examples = getattr(splits, split)
    asked = Splits(train=splits.train, dev=splits.dev, test=examples)
    found: dict[str, dict[str, Estimate]] = {}
    for name, answers in ENTRY.baselines.items():
        said = answers(task, asked)
        metrics = [task.metric(each) for each in NAMES]
        found[name] = {m.name: estimate(m, m.statistics(said, examples)) for m in metrics if m}
    return found


def row(*cells: Any) -> str:
    """One row of the table."""
    return f"| {' | '.join(map(str, cells))} |"


def shown(scores: dict[str, Estimate]) -> list[str]:
    """ROUGE-L with its interval, and the others."""
    low, high = scores["rougeL"].interval
    others = (f"{scores[name].score:.1f}" for name in NAMES[1:])
    return [f"{scores['rougeL'].score:.1f} ({low:.1f} to {high:.1f})", *others]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--models", nargs="+", choices=ENTRY.models, default=list(ENTRY.models))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the config")
    parser.add_argument("--runs", type=Path, default=Path("runs/summarise"))
    arguments = parser.parse_args()
    lines = [
        "ROUGE F1 in per cent, that of the longest common subsequence with its 95 % interval;",
        "Chinese by characters. Processor seconds are those of one thread.",
        "",
        row("data", "model", "ROUGE-L", "ROUGE-1", "ROUGE-2", "processor s", "parameters"),
        row(*["---"] * 7),
    ]
    for data in arguments.data:
        splits = find_task("summarise").read(read(data, []))
        runs = {
            model: trained(data, model, arguments.runs / f"{data}-{number}", arguments.set)
            for number, model in enumerate(arguments.models)
        }
        task = next(iter(runs.values()))[0].task
        for split in SPLITS[data]:
            for name, scores in answered(task, splits, split).items():
                lines.append(row(f"{data} {split}", name, *shown(scores), "", ""))
            for model, (run, seconds) in runs.items():
                scores = dict(heedful.evaluate(run, split=split).scores)
                size = f"{int(run.about['parameters']):,}"
                lines.append(row(f"{data} {split}", model, *shown(scores), f"{seconds:.0f}", size))
    write("summarise", lines)


if __name__ == "__main__":
    main()
