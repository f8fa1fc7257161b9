"""Labels of papers by who cites whom: networks with many seeds, beside what needs none.

Writes the tables that `benchmarks/configs/cora.toml` reads, from `cora.npz` beside the project.
"""

import argparse
import gzip
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import write

import heedful
from heedful.bench.entries.classify_node import ENTRY
from heedful.metrics import accuracy
from heedful.tasks.catalog import find_task, load_config
from heedful.tasks.classification import LABEL

CONFIG = Path(__file__).parent / "configs" / "cora.toml"
CORA = Path("../shared/data/cora/cora.npz")
MODELS: dict[str, list[str]] = {
    "scaled dot products": [],
    "additive attention": ['model.score="additive"', "model.attention_dropout=0"],
    "mean of neighbours": ['model.score="mean"'],
    "graph Transformer": [
        'model={name="transformer", width=64, heads=8, feedforward=128, layers=2, dropout=0.6}'
    ],
}


def tables(source: Path, folder: Path) -> None:
    """Write a table of nodes and one of edges, with the splits of Yang et al. 2016."""
    with np.load(source, allow_pickle=False) as cora:
        starts, columns = cora["feature_rows"], cora["feature_cols"]
        labels, edges = cora["labels"], cora["edges"]
        width = int(cora["n_features"])
        splits = np.full(len(labels), "", dtype="U5")
        for name, key in (("train", "train"), ("dev", "val"), ("test", "test")):
            splits[cora[key]] = name
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "nodes.csv.gz", "wt", encoding="utf-8") as file:
        file.write(",".join(["id", "label", "split", *(f"w{n}" for n in range(width))]) + "\n")
        for node, (label, split) in enumerate(zip(labels, splits, strict=True)):
            words = np.zeros(width, np.int8)
            words[columns[starts[node] : starts[node + 1]]] = 1
            known = f"topic{label}" if split else ""
            file.write(",".join([f"p{node}", known, split, *map(str, words.tolist())]) + "\n")
    lines = ["from,to", *(f"p{a},p{b}" for a, b in edges.tolist()), ""]
    (folder / "edges.csv").write_text("\n".join(lines), encoding="utf-8")


def interval(scores: list[float]) -> str:
    """The mean of seeds, with its 95 % interval from their deviation."""
    half = 1.96 * np.std(scores, ddof=1) / len(scores) ** 0.5 if len(scores) > 1 else np.nan
    return f"{np.mean(scores):.1f} ± {half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--set", nargs="*", default=[], help="settings of all")
    parser.add_argument("--json", action="store_true", help="print rows, and write no file")
    arguments = parser.parse_args()
    tables(CORA, Path("runs/cora-tables"))
    kind = find_task("classify-node")
    base: Any = kind.located(load_config(CONFIG, overrides=arguments.set))
    splits = kind.read(base)
    fitted, metric = kind.fit(base, splits.train), accuracy(answer=LABEL)
    lines = [
        "Cora, the splits of Yang et al. 2016: accuracy in per cent on its 1,000 test nodes, the",
        "mean of seeds with its 95 % interval, and the deviation of seeds; of dev, at the",
        "checkpoint that it has chosen. Seconds of one training on a machine with other work.",
        "",
        "| model | test | deviation | dev | seeds | seconds | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, baseline in ENTRY.baselines.items():
        began = time.perf_counter()
        score = metric.score(metric.statistics(baseline(fitted, splits), splits.test))
        lines.append(f"| {name} | {score:.1f} | | | | {time.perf_counter() - began:.0f} | |")
        print(lines[-1], flush=True)
    for name in arguments.models:
        test, dev, seconds, size = [], [], [], 0
        for seed in range(1, arguments.seeds + 1):
            folder = f"runs/cora-{os.getpid()}"
            change = [*MODELS[name], *arguments.set, f"seed={seed}", f'output="{folder}"']
            shutil.rmtree(folder, ignore_errors=True)
            began = time.perf_counter()
            run = heedful.train(kind.located(load_config(CONFIG, overrides=change)))
            seconds.append(time.perf_counter() - began)
            found = [heedful.evaluate(run, split=split) for split in ("test", "dev")]
            for scores, report in zip((test, dev), found, strict=True):
                scores.append(report.scores["accuracy"].score)
            size = run.about["parameters"]
            print(name, seed, test[-1], dev[-1], round(seconds[-1]), file=sys.stderr, flush=True)
            shutil.rmtree(folder)
        lines.append(
            f"| {name} | {interval(test)} | {np.std(test):.1f} | {np.mean(dev):.1f} | {len(test)} "
            f"| {np.mean(seconds):.0f} | {size:,} |"
        )
        print(lines[-1], flush=True)
    if not arguments.json:
        write("classify-node", lines)


if __name__ == "__main__":
    main()
