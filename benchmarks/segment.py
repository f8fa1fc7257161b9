"""Masks of nuclei: U-Nets with gates and without after equal time, beside simple baselines.

Those without gates are trained for more epochs, by as much as a step of theirs takes less time.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from _measure import write

import heedful
from heedful.bench.entries.segment import ENTRY
from heedful.metrics.interval import Estimate, estimate
from heedful.tasks.catalog import find_task, load_config

CONFIG = Path(__file__).parent / "configs" / "nuclei_dsb2018.toml"
METRICS = ("iou", "dice", "image_iou")
MODELS = {
    "U-Net with gates": (1.0, ["model.attention_layers=0"]),
    "U-Net": (1.09, ["model.attention_layers=0", "model.gates=false"]),
    "U-Net with gates and self-attention": (1.0, []),
}


def line(name: str, split: str, scores: dict[str, Estimate], seconds: float, size: int) -> str:
    """One row of the table."""
    cells = [
        f"{found.score:.1f} [{found.interval[0]:.1f}, {found.interval[1]:.1f}]"
        for found in (scores[metric] for metric in METRICS)
    ]
    return f"| {name} | {split} | {' | '.join(cells)} | {seconds:.0f} | {size:,} |"


def baselines(config: Any) -> list[str]:
    """Rows of what needs no network."""
    kind = find_task("segment")
    splits = kind.read(config)
    task, lines = kind.fit(config, splits.train), list[str]()
    for name, baseline in ENTRY.baselines.items():
        began = time.process_time()
        answers = baseline(task, splits)
        seconds = time.process_time() - began
        metrics = [kind.metric(each) for each in METRICS]
        scores = {
            each.name: estimate(each, each.statistics(answers, splits.test))
            for each in metrics
            if each is not None
        }
        lines.append(line(name, "test", scores, seconds, 0))
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def trained(name: str, epochs: float, runs: Path) -> list[str]:
    """Rows of one model: of its dev split, and of its test split."""
    factor, settings = MODELS[name]
    folder = runs / name.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    told = [f"output={folder}", f"train.epochs={epochs * factor:.2f}", *settings]
    began = time.process_time()
    run = heedful.train(load_config(CONFIG, overrides=told))
    seconds = time.process_time() - began
    lines: list[str] = []
    for split in ("dev", "test"):
        scores = heedful.evaluate(run, split=split).scores
        lines.append(line(name, split, scores, seconds, int(run.about["parameters"])))
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=8.0, help="of models with gates")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--runs", type=Path, default=Path("runs/segment"))
    arguments = parser.parse_args()
    lines = [
        "664 microscope images of 96 x 96 pixels; 10 % dev and 20 % test, by pixels of an image",
        "and the seed. Per cent with 95 % intervals: `iou` and `dice` of the pixels of all images",
        "together, `image_iou` a mean over images. Seconds are of the processor, with dev scores.",
        "",
        "| model | split | iou | dice | image_iou | seconds | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in arguments.models:
        lines += trained(name, arguments.epochs, arguments.runs)
    lines += baselines(load_config(CONFIG))
    write("segment", lines)


if __name__ == "__main__":
    main()
