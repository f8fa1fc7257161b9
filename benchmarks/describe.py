"""Descriptions of scenes: runs and what needs no network, and where words looked.

Unlike `heedful bench tasks` it judges runs that are there: `heedful train` makes them.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write

import heedful
from heedful.bench.entries.describe import ENTRY, unseen
from heedful.metrics.interval import estimate
from heedful.metrics.metric import ratio_metric
from heedful.tasks.describe.captions import Captioned
from heedful.tasks.describe.task import Describe

HEAD = """\
Sentences that are exactly the truth, in per cent, with 95 % intervals. No two objects that stand
together in a dev or test image stood together in training; `unseen colours` has shapes in colours
in which no training image has them. `on its object`: of the words that name size, colour or shape,
how many look most at a cell that the named object touches.

| model | dev | test | unseen colours | on its object | parameters |
|---|---|---|---|---|---|
"""


def judged(task: Describe, answers: list[Any], examples: list[Captioned]) -> str:
    """The share of exact sentences with its interval."""
    metric = task.metrics[0]
    found = estimate(metric, metric.statistics(answers, examples))
    return f"{found.score:.1f} ({found.low:.1f} to {found.high:.1f})"


def looks(answers: list[Any]) -> str:
    """The share of words that look most at what they name."""
    sums = np.array([(each.named - each.elsewhere, each.named) for each in answers], float)
    found = estimate(ratio_metric("looks"), sums * [100, 1])
    return f"{found.score:.1f} ({found.low:.1f} to {found.high:.1f})"


def main() -> None:
    """Judge runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[str] = []
    for number, folder in enumerate(given.runs):
        run = heedful.load(folder)
        task, config = run.task, run.config
        shown, texts = list[str](), list[Any]()
        parts = (run.examples("dev"), run.examples("test"), unseen(config))
        for part in parts:
            texts = task.answer(run.model, task.encode(part))
            shown.append(judged(task, texts, part))
            if part is parts[1]:
                looked = looks(texts)
        rows.append(
            f"| {folder.name} | {' | '.join(shown)} | {looked} | {run.about['parameters']:,} |"
        )
        if number == 0:
            splits = Describe.read(config)
            for name, answers in ENTRY.baselines.items():
                shown = []
                for part in parts:
                    asked = type(splits)(splits.train, splits.dev, part)
                    shown.append(judged(task, answers(task, asked), part))
                rows.append(f"| {name} | {' | '.join(shown)} | | |")
    write("describe", [*HEAD.splitlines(), *rows])


if __name__ == "__main__":
    main()
