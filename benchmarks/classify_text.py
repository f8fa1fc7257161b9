"""Text classifiers against TF-IDF and logistic regression, on the same splits.

The baseline has the strength of its regularisation chosen on the dev split, as a training chooses
its checkpoint there. Needs scikit-learn.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from _measure import write
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import heedful
from heedful.metrics.classification import accuracy
from heedful.metrics.interval import Estimate, estimate
from heedful.tasks.catalog import find_task, load_config
from heedful.tasks.classify_text.config import Config
from heedful.tasks.classify_text.texts import Labelled

CONFIGS = Path(__file__).parent / "configs"
MODELS = ("pooling", "lstm", "transformer", "cnn")
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
CHARACTERS = {"analyzer": "char", "ngram_range": (1, 3), "sublinear_tf": True}
WORDS = {"analyzer": "word", "ngram_range": (1, 2), "sublinear_tf": True}


class Data(NamedTuple):
    """One data set.

    Args:
        config: A file in `configs`; `None` means the built-in texts.
        features: Of the baseline.
        splits: Those that are reported.
    """

    config: str | None
    features: dict[str, Any]
    splits: tuple[str, ...]


DATA = {
    "languages": Data(None, CHARACTERS, ("dev", "test")),
    "csl_topics": Data("csl_topics.toml", CHARACTERS, ("dev",)),
    "sentiment_sentences": Data("sentiment_sentences.toml", WORDS, ("dev", "test")),
}


def read(data: Data) -> Config:
    """The config of a data set."""
    return Config() if data.config is None else load_config(CONFIGS / data.config)


def baseline(config: Config, data: Data) -> tuple[dict[str, Estimate], float, int]:
    """Scores of TF-IDF and logistic regression by split, seconds of all fits, and weights."""
    splits = find_task("classify-text").read(config)
    began = time.perf_counter()
    features = TfidfVectorizer(**data.features)
    seen = features.fit_transform([example.text for example in splits.train])
    labels = [example.label for example in splits.train]
    found: list[tuple[float, LogisticRegression]] = []
    dev = features.transform([example.text for example in splits.dev])
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=500).fit(seen, labels)
        found.append((model.score(dev, [example.label for example in splits.dev]), model))
    best = max(found, key=lambda each: each[0])[1]
    seconds = time.perf_counter() - began
    scores = {
        split: judged(best.predict(features.transform([e.text for e in examples])), examples)
        for split in data.splits
        if (examples := getattr(splits, split))
    }
    return scores, seconds, best.coef_.size


def judged(labels: Any, examples: list[Labelled]) -> Estimate:
    """The accuracy of labels, with its interval."""
    metric = accuracy()
    return estimate(metric, metric.statistics(list(labels), examples))


def trained(config: Config, folder: Path) -> tuple[heedful.Run, float]:
    """A training and its seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    run = heedful.train(config.model_copy(update={"output": str(folder)}))
    return run, time.perf_counter() - began


def rows(name: str, *, minutes: float, models: list[str], runs: Path) -> list[dict[str, Any]]:
    """The rows of one data set, those of the baseline first."""
    data = DATA[name]
    known, seconds, weights = baseline(read(data), data)
    table = [
        row(name, "TF-IDF + logistic regression", split, score, score, seconds, weights)
        for split, score in known.items()
    ]
    for model in models:
        kind, _, score = model.partition("+")
        tables = {"task": "classify-text", "model": {"name": kind, "score": score or "scaled_dot"}}
        base = read(data)
        config = base.model_copy(
            update={
                "model": type(base).model_validate(tables).model,
                "train": base.train.model_copy(update={"minutes": minutes}),
            }
        )
        run, seconds = trained(config, runs / f"{name}-{kind}-{score or 'scaled_dot'}")
        for split, other in known.items():
            report = heedful.evaluate(run, split=split)
            parameters = int(run.about["parameters"])
            found = report.scores["accuracy"]
            table.append(row(name, model, split, found, other, seconds, parameters))
            print(table[-1], file=sys.stderr, flush=True)
    return table


def row(
    name: str,
    model: str,
    split: str,
    found: Estimate,
    other: Estimate,
    seconds: float,
    parameters: int,
) -> dict[str, Any]:
    """One row of the table."""
    return {
        "task": "classify-text",
        "model": model,
        "data": f"{name} {split}",
        "metric": "accuracy",
        "value": round(found.score, 2),
        "interval": [round(end, 2) for end in found.interval],
        "baseline": round(other.score, 2),
        "seconds": round(seconds, 1),
        "parameters": parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="most, for each training")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument(
        "--models", nargs="+", default=[*MODELS, "lstm+additive"], help="e.g. cnn or lstm+additive"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/classify-text"))
    parser.add_argument("--json", action="store_true", help="print rows, and write no file")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name in arguments.data:
        found += rows(name, minutes=arguments.minutes, models=arguments.models, runs=arguments.runs)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    lines = [
        "Accuracy in per cent, with 95 % intervals; seconds of reading and training, of the",
        "baseline of all its fits. `lstm+additive` is pooled by additive scores, the others by",
        "scaled dot products.",
        "",
        "| data | model | accuracy | interval | baseline | seconds | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found:
        low, high = each["interval"]
        lines.append(
            f"| {each['data']} | {each['model']} | {each['value']:.1f} | {low:.1f} to {high:.1f} "
            f"| {each['baseline']:.1f} | {each['seconds']:.0f} | {each['parameters']:,} |"
        )
    write("classify-text", lines)


if __name__ == "__main__":
    main()
