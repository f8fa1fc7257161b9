"""Where to does a digit drift: attention over time, mean over time, one frame, and baselines.

Every network is trained by the default config; a run that is there already is only measured.
"""

import argparse
from pathlib import Path
from typing import Any

from _measure import write

import heedful
from heedful.bench.entries.classify_video import ENTRY
from heedful.metrics.interval import estimate
from heedful.tasks.catalog import find_task, parse_config
from heedful.tasks.classify_video.config import Config
from heedful.training.metrics import read_metrics


def config_of(tables: Any, seed: int, folder: Path) -> Config:
    """The config of one training."""
    named = {"task": "classify-video", "seed": seed, "output": str(folder)}
    return parse_config({**tables, **named})  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/classify-video"))
    options = parser.parse_args()
    lines = [
        "Accuracy on 600 test videos in per cent, with 95 % intervals, and on 600 dev videos;",
        "eight directions, five frames of 20 x 20 pixels, no digit in two splits.",
        "",
        "| model | seed | accuracy | interval | dev | steps | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for seed in range(1, options.seeds + 1):
        for number, (name, tables) in enumerate(ENTRY.models.items()):
            folder = options.output / f"{number}-{seed}"
            if not folder.exists():
                heedful.train(config_of(tables, seed, folder))
            run = heedful.load(folder)
            test, dev = (
                heedful.evaluate(run, split=split).scores["accuracy"] for split in ("test", "dev")
            )
            low, high = test.interval
            weights, steps = run.about["parameters"], last_step(folder)
            found = f"{test.score:.1f} | {low:.1f} to {high:.1f} | {dev.score:.1f}"
            lines.append(f"| {name} | {seed} | {found} | {steps:,} | {weights:,} |")
        lines += baselines(config_of({}, seed, options.output), seed)
    write("classify-video", lines)


def last_step(folder: Path) -> int:
    """How many steps a run was trained."""
    return max(each["step"] for each in read_metrics(folder))


def baselines(config: Config, seed: int) -> list[str]:
    """Rows of what needs no network."""
    kind = find_task("classify-video")
    splits, lines = kind.read(config), list[str]()
    task, metric = kind.fit(config, splits.train), kind.metric(ENTRY.metric)
    for name, answers in ENTRY.baselines.items():
        found = estimate(metric, metric.statistics(answers(task, splits), splits.test))  # type: ignore[union-attr]
        low, high = found.interval
        lines.append(f"| {name} | {seed} | {found.score:.1f} | {low:.1f} to {high:.1f} | | | |")
    return lines


if __name__ == "__main__":
    main()
