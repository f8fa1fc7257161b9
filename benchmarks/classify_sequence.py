"""Sequence classifiers on planted motifs, beside counts of letters and the weights drawn from.

Each network learns for as many epochs. How much of the attention of the pooling lies on the motif
is measured on the test split, on sequences that have one.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _measure import write

import heedful
from heedful.bench.entries.classify_sequence import ENTRY
from heedful.bench.tasks import baseline_scores
from heedful.tasks.catalog import parse_config

BOTH: dict[str, Any] = {"data": {"strands": "both"}, "model": {"layers": 0, "strands": "both"}}
ONE_READ: dict[str, Any] = {"data": {"strands": "both"}, "model": {"layers": 0}}
MODELS: dict[str, Any] = {
    **ENTRY.models,
    "CNN + attention pooling, motifs on both strands, one is read": ONE_READ,
    "CNN + attention pooling, motifs on both strands, both are read": BOTH,
}


def trained(name: str, epochs: float, runs: Path) -> heedful.Run:
    """The run of a model; one that is there is taken as it is."""
    folder = runs / "".join(letter if letter.isalnum() else "-" for letter in name)
    if not folder.exists():
        train = {"epochs": epochs, "precision": "fp32", "evaluate_every": 0.25}
        tables = {**MODELS[name], "task": "classify-sequence", "train": train}
        heedful.train(parse_config({**tables, "output": str(folder)}))
    return heedful.load(folder)


def on_the_motif(run: heedful.Run) -> tuple[float, float, float] | None:
    """The share of attention on the motif, were it even, and how often the heaviest is in it."""
    task: Any = run.task
    examples = [each for each in run.examples("test") if each.start >= 0]
    shares, even, inside = [], [], []
    for each in examples:
        found = task.attention(run.model, [each])
        if found is None:
            return None
        weights = found[0]
        shares.append(weights[each.start : each.end].sum())
        even.append((each.end - each.start) / len(weights))
        inside.append(each.start <= weights.argmax() < each.end)
    return float(np.mean(shares)), float(np.mean(even)), float(np.mean(inside))


def row(name: str, run: heedful.Run) -> str:
    """One line of the table."""
    dev, test = (heedful.evaluate(run, split=split).scores["accuracy"] for split in ("dev", "test"))
    low, high = test.interval
    looked = on_the_motif(run)
    cells = "| | |" if looked is None else "| {:.0%} ({:.0%}) | {:.0%} |".format(*looked)
    return f"| {name} | {dev.score:.1f} | {test.score:.1f} [{low:.1f}, {high:.1f}] {cells}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=8.0)
    parser.add_argument("--runs", type=Path, default=Path("runs/classify-sequence"))
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--train-only", action="store_true")
    arguments = parser.parse_args()
    runs = {name: trained(name, arguments.epochs, arguments.runs) for name in arguments.models}
    if arguments.train_only:
        return
    lines = [f"Accuracy in per cent after {arguments.epochs:g} epochs, 95 % intervals.", ""]
    lines += ["| model | dev | test | attention on the motif (were it even) | heaviest in it |"]
    lines += ["|---|---|---|---|---|"]
    for name, run in runs.items():
        lines.append(row(name, run))
        print(lines[-1], file=sys.stderr, flush=True)
    for data, run in (("one", runs[arguments.models[0]]), ("both", runs[arguments.models[-1]])):
        for name, score in baseline_scores(run, ENTRY).items():
            lines.append(f"| {name}, motifs on {data} strand(s) | | {score:.1f} | | |")
    write("classify-sequence", lines)


if __name__ == "__main__":
    main()
