"""SASRec and DIN on MovieLens-100K and on planted interests, beside models without a network.

MovieLens-100K is read out of an installed package recbole 1.2.1, or from --movielens FILE.
"""

import argparse
import importlib.util
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write

import heedful
from heedful.bench.entries.recommend import ENTRY
from heedful.errors import DataWarning
from heedful.metrics.interval import estimate
from heedful.tasks.catalog import load_config, parse_config
from heedful.tasks.recommend.task import Recommend

CONFIG = Path(__file__).parent / "configs" / "movielens_100k.toml"
SPLITS: dict[str, list[str]] = {
    "random": [
        *("data.split=random", "model.positions=none", "model.max_length=200", "model.layers=1"),
        "train.epochs=40",
    ],
    "last": [],
}
MODELS: dict[str, list[str]] = {
    "SASRec": [],
    "SASRec, mean of the history": ["model.attention=false"],
    "DIN": ["model.name=din", "train.epochs=10"],
}
OF_SASREC = ("model.positions", "model.layers")
PUBLISHED = "| random | BPR of RecBole 1.2.1, published, other draw | 27.68 | 23.68 | |"


def movielens() -> str:
    """The file in the installed package, which is not loaded for it."""
    found = importlib.util.find_spec("recbole")
    if found is None or found.origin is None:
        raise SystemExit("recbole 1.2.1 must be installed, or --movielens must name the file")
    return str(Path(found.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter")


def row(split: str, model: str, answers: list[Any], examples: list[Any]) -> str:
    """One line of the table of MovieLens."""
    cells: list[str] = []
    for metric in Recommend.metrics[:3]:
        found = estimate(metric, metric.statistics(answers, examples))
        low, high = found.interval
        cells.append(f"{found.score:.2f} [{low:.2f}, {high:.2f}]")
    line = f"| {split} | {model} | {' | '.join(cells)} |"
    print(line, file=sys.stderr, flush=True)
    return line


def on_movielens(split: str, path: str, runs: Path, overrides: list[str]) -> list[str]:
    """Models without a network, and with one, on one split."""
    base = [f"data.file={json.dumps(path)}", *SPLITS[split], *overrides]
    config = load_config(CONFIG, overrides=base)
    splits = Recommend.read(config)
    task = Recommend.fit(config, splits.train)
    lines = [
        row(split, name, list(answers(task, splits)), splits.test)
        for name, answers in ENTRY.baselines.items()
    ]
    for name, settings in MODELS.items():
        folder = runs / f"{split}-{name}".replace(" ", "-").replace(",", "")
        told = [*base, *settings, f"output={json.dumps(str(folder))}"]
        if "model.name=din" in settings:
            told = [each for each in told if not each.startswith(OF_SASREC)]
        began = time.process_time()
        run = heedful.train(load_config(CONFIG, overrides=told))
        spent = time.process_time() - began
        answers = run.task.answer(run.model, run.task.encode(splits.test))
        lines.append(row(split, f"{name}, {spent:.0f} CPU seconds", answers, splits.test))
    return lines


def attention_on_the_cause(runs: Path) -> list[str]:
    """How much of the attention lies on the episode that the true next one follows."""
    lines: list[str] = []
    for name, model in (("SASRec", {}), ("DIN", {"name": "din"})):
        folder = str(runs / f"planted-{name}")
        run = heedful.train(parse_config({"task": "recommend", "model": model, "output": folder}))
        task, shares, even = run.task, [], []
        for example in run.examples("test")[:500]:
            if example.follows >= 0:
                weights = task.attention(run.model, example, example.relevant[0])
                shares.append(weights[example.follows])
                even.append(1 / len(weights))
        found = heedful.evaluate(run).scores["ndcg@10"]
        low, high = found.interval
        lines.append(
            f"| {name} | {found.score:.1f} [{low:.1f}, {high:.1f}] | {100 * np.mean(shares):.1f} % "
            f"| {100 * np.mean(even):.1f} % |"
        )
    return lines


def seconds_of_an_epoch(runs: Path) -> list[str]:
    """One epoch over 290,000 interactions with 3,000 items."""
    data = {"users": 14_500, "series": 150, "episodes": 20, "length": 20}
    lines: list[str] = []
    for name in ("sasrec", "din"):
        tables = {"task": "recommend", "data": data, "model": {"name": name}}
        train = {"epochs": 1.0, "evaluate_every": 1.0, "items_per_batch": 4_096}
        folder = str(runs / f"speed-{name}")
        run = heedful.train(parse_config({**tables, "train": train, "output": folder}))
        data_set = run.task.encode(Recommend.read_training(run.config), training=True)
        cpu, wall = _one_epoch(run, data_set)
        rows, items = int(data_set.amounts.sum()), len(run.task.names)
        lines.append(f"| {name} | {rows:,} | {items:,} | {cpu:.1f} | {wall:.1f} |")
    return lines


def _one_epoch(run: Any, data: Any) -> tuple[float, float]:
    from heedful.data.batches import size_batches

    optimizer = torch.optim.AdamW(run.model.parameters())
    run.model.train()
    draw = np.random.default_rng(0)
    cpu, wall = time.process_time(), time.perf_counter()
    for rows in size_batches(data.sizes, most=run.task.batch_limit, seed=0, epoch=0):
        loss, count = run.task.loss(run.model, data.batch(rows, run.device, random=draw))
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movielens", help="the file ml-100k.inter")
    parser.add_argument("--runs", type=Path, default=Path("runs/recommend"))
    parser.add_argument("--splits", nargs="*", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    lines = [
        "MovieLens-100K, 943 users, per cent of all items ranked, 95 % intervals over users.",
        "",
    ]
    lines += ["| split | model | ndcg@10 | recall@10 | auc |", "|---|---|---|---|---|"]
    for split in arguments.splits:
        path = arguments.movielens or movielens()
        lines += on_movielens(split, path, arguments.runs, arguments.overrides)
        lines += [PUBLISHED] if split == "random" else []
    lines += ["", "Planted interests: attention on the episode that the true next one follows.", ""]
    lines += ["| model | ndcg@10 | there | were it even |", "|---|---|---|---|"]
    lines += attention_on_the_cause(arguments.runs)
    lines += ["", "One epoch in fp32, batches of 4,096 items, without evaluation.", ""]
    lines += ["| model | interactions | items | CPU seconds | seconds |", "|---|---|---|---|---|"]
    lines += seconds_of_an_epoch(arguments.runs)
    write("recommend", lines)


if __name__ == "__main__":
    main()
