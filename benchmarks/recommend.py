"""SASRec and DIN on MovieLens-100K and on planted interests, beside models without a network.

MovieLens-100K is read out of an installed package recbole 1.2.1, or from --movielens FILE. A run
that is there already is judged as it is.
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
from heedful.data.batches import size_batches
from heedful.errors import DataWarning
from heedful.metrics.interval import estimate
from heedful.tasks.catalog import load_config, parse_config
from heedful.tasks.recommend.task import Recommend
from heedful.training.run import build

CONFIG = Path(__file__).parent / "configs" / "movielens_100k.toml"
PARTS = ("movielens", "planted", "speed")
SPLITS: dict[str, list[str]] = {
    "random": [
        *("data.split=random", "model.positions=none", "model.max_length=200"),
        *("model.dropout=0.2", "train.precision=bf16", "train.epochs=45"),
    ],
    "last": [],
}
MODELS: dict[str, list[str]] = {
    "SASRec": [],
    "SASRec, mean of the history": ["model.attention=false"],
    "DIN": ["model.name=din", "train.epochs=10"],
}
PUBLISHED = "| random | BPR of RecBole 1.2.1, published, another draw | 27.68 | 23.68 | |"


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


def on_movielens(split: str, path: str, runs: Path, models: list[str]) -> list[str]:
    """Models without a network, and with one, on one split."""
    base = [f"data.file={json.dumps(path)}", *SPLITS[split]]
    splits = Recommend.read(load_config(CONFIG, overrides=base))
    lines: list[str] = []
    for name in models:
        folder = runs / f"{split}-{name}".replace(" ", "-").replace(",", "")
        told = [*base, *MODELS[name], f"output={json.dumps(str(folder))}"]
        if name == "DIN":
            told = [each for each in told if not each.startswith("model.positions")]
        if not folder.exists():
            heedful.train(load_config(CONFIG, overrides=told))
        run = heedful.load(folder)
        answers = run.task.answer(run.model, run.task.encode(splits.test))
        lines.append(row(split, name, answers, splits.test))
    task = Recommend.fit(load_config(CONFIG, overrides=base), splits.train)
    known = [
        row(split, name, list(answers(task, splits)), splits.test)
        for name, answers in ENTRY.baselines.items()
    ]
    return [*known, *lines]


def attention_on_the_cause(runs: Path) -> list[str]:
    """How much of the attention lies on the episode that the true next one follows."""
    lines: list[str] = []
    for name, model in (("SASRec", {}), ("DIN", {"name": "din"})):
        folder = runs / f"planted-{name}"
        if not folder.exists():
            tables = {"task": "recommend", "model": model, "output": str(folder)}
            heedful.train(parse_config(tables))
        run = heedful.load(folder)
        task: Any = run.task
        shares, even = [], []
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
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def seconds_of_an_epoch() -> list[str]:
    """One epoch over 290,000 interactions with 3,000 items."""
    data = {"users": 15_400, "series": 150, "episodes": 20, "length": 22}
    lines: list[str] = []
    for name in ("sasrec", "din"):
        tables = {"task": "recommend", "data": data, "model": {"name": name}}
        config = parse_config({**tables, "train": {"items_per_batch": 4_096}})
        examples = Recommend.read_training(config)
        task = Recommend.fit(config, examples)
        ready = task.encode(examples, training=True)
        cpu, wall = _one_epoch(task, ready)
        rows, items = int(ready.amounts.sum()), len(task.names)
        lines.append(f"| {name} | {rows:,} | {items:,} | {cpu:.1f} | {wall:.1f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _one_epoch(task: Any, data: Any) -> tuple[float, float]:
    model = build(task)
    optimizer = torch.optim.AdamW(model.parameters())
    draw = np.random.default_rng(0)
    cpu, wall = time.process_time(), time.perf_counter()
    for rows in size_batches(data.sizes, most=task.batch_limit, seed=0, epoch=0):
        loss, count = task.loss(model, data.batch(rows, "cpu", random=draw))
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movielens", help="the file ml-100k.inter")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--runs", type=Path, default=Path("runs/recommend"))
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--dry", action="store_true", help="write no file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    lines: list[str] = []
    if "movielens" in arguments.parts:
        path = arguments.movielens or movielens()
        lines += ["MovieLens-100K, 943 users; per cent, all items ranked, 95 % intervals.", ""]
        lines += ["| split | model | ndcg@10 | recall@10 | auc |", "|---|---|---|---|---|"]
        for split in arguments.splits:
            lines += on_movielens(split, path, arguments.runs, arguments.models)
            lines += [PUBLISHED] if split == "random" else []
    if "planted" in arguments.parts:
        lines += ["", "Planted interests: attention on what the true next episode follows.", ""]
        lines += ["| model | ndcg@10 | there | were it even |", "|---|---|---|---|"]
        lines += attention_on_the_cause(arguments.runs)
    if "speed" in arguments.parts:
        lines += ["", "One epoch in fp32, batches of 4,096 items, without evaluation.", ""]
        lines += [
            "| model | interactions | items | CPU seconds | seconds |",
            "|---|---|---|---|---|",
        ]
        lines += seconds_of_an_epoch()
    if arguments.dry:
        print("\n".join(lines))
    else:
        write("recommend", lines)


if __name__ == "__main__":
    main()
