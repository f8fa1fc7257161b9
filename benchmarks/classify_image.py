"""Classifiers of Fashion-MNIST: each attention against none after equal CPU seconds, one thread.

Steps are what the budget buys by the CPU seconds of one step, measured in turns: so it does not
matter who else uses the machine. The linear baseline learns from the first images alone.
"""

import argparse
import tempfile
import time
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write

import heedful
from heedful.bench.baselines import logistic_regression
from heedful.bench.entries.classify_image import ENTRY, pixels
from heedful.config.base import dump
from heedful.data.examples import Splits
from heedful.metrics.classification import accuracy
from heedful.metrics.interval import estimate
from heedful.tasks.base import Task
from heedful.tasks.catalog import find_task, load_config, parse_config
from heedful.training.metrics import read_metrics
from heedful.training.optimizer import adamw
from heedful.training.run import build

CONFIG = Path(__file__).parent / "configs" / "fashion_mnist.toml"
LARGER = {"cnn": {"stages": 3}, "vit": {"patch": 4, "layers": 4}}
METRIC = accuracy(answer=attrgetter("label"))
LINEAR = 10_000  # images of the linear baseline


def config_of(model: dict[str, Any], folder: str, steps: int | None, seed: int) -> Any:
    """The config of one training."""
    tables = dump(load_config(CONFIG))
    name = model.get("name", "cnn")
    train = {key: each for key, each in tables["train"].items() if key not in ("epochs", "steps")}
    train |= {"precision": "bf16", "evaluate_every": 0.5, "steps": steps or 1}
    whole = {**tables, "model": {"name": name, **LARGER[name], **model}, "train": train}
    return parse_config({**whole, "output": folder, "seed": seed})


def costs(configs: dict[str, Any], splits: Splits[Any]) -> dict[str, float]:
    """CPU seconds of a step of each model: the least of several, taken in turns."""
    kind, found = find_task("classify-image"), dict[str, float]()
    taken = {name: _steps(kind.fit(each, splits.train), splits) for name, each in configs.items()}
    for _ in range(8):
        for name, step in taken.items():
            began = time.process_time()
            step()
            found[name] = min(found.get(name, np.inf), time.process_time() - began)
    return found


def _steps(task: Task[Any, Any], splits: Splits[Any]) -> Any:
    model, settings = build(task).train(), task.config.train
    data = task.encode(splits.train[: settings.batch_size], training=True)
    batch, optimizer = data.batch(range(len(data)), "cpu"), adamw(model, settings)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, count = task.loss(model, batch)
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def linear(splits: Splits[Any]) -> str:
    """The row of the linear baseline."""
    config = config_of({}, "runs/none", None, 1)
    task = find_task("classify-image").fit(config, splits.train)
    few = Splits(train=splits.train[:LINEAR], dev=splits.dev, test=splits.test)
    began, metric = time.process_time(), METRIC
    answers = logistic_regression(pixels, scaled=False)(task, few)
    found = estimate(metric, metric.statistics(answers, splits.test))
    seconds = time.process_time() - began
    low, high = found.interval
    name = f"logistic regression on pixels of {LINEAR:,} images"
    return f"| {name} | {found.score:.2f} | {low:.2f} to {high:.2f} | | {seconds:.0f} | | 7,850 |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trained", type=Path, help="a run by the config, to be measured alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.trained:
        return long(options.trained)
    models = {name: dict(tables.get("model", {})) for name, tables in ENTRY.models.items()}
    models["CNN + self-attention"] = {"attention": "self-attention"}
    splits = find_task("classify-image").read(config_of({}, "runs/none", None, 1))
    step = costs({name: config_of(each, "x", None, 1) for name, each in models.items()}, splits)
    lines = [*head(), linear(splits)]
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            for seed in range(1, options.seeds + 1):
                steps = round(options.seconds / step[name])
                run = heedful.train(config_of(model, f"{folder}/{name}-{seed}", steps, seed))
                lines.append(row(f"{name}, seed {seed}", run, options.seconds, steps))
                print(lines[-1], flush=True)
    write("classify-image-equal-cost", lines)


def long(folder: Path) -> None:
    """Measure a run that was trained by the config."""
    run = heedful.load(folder)
    steps = max(each["step"] for each in read_metrics(folder))
    splits = run.kind.read(run.config)
    seconds = steps * costs({"": run.config}, splits)[""]
    write("classify-image", [*head(), row("CNN + squeeze-and-excitation", run, seconds, steps)])


def head() -> list[str]:
    """The lines above the rows."""
    return [
        "Accuracy on the 10,000 test images of Fashion-MNIST in per cent, with 95 % intervals, and",
        "on 2,000 dev images; CPU seconds are of one thread, by what a step takes.",
        "",
        "| model | accuracy | interval | dev | CPU seconds | steps | parameters |",
        "|---|---|---|---|---|---|---|",
    ]


def row(name: str, run: Any, seconds: float, steps: int) -> str:
    """A line of the table."""
    test, dev = (heedful.evaluate(run, split=split).scores["accuracy"] for split in ("test", "dev"))
    low, high = test.interval
    weights = run.about["parameters"]
    return (
        f"| {name} | {test.score:.2f} | {low:.2f} to {high:.2f} | {dev.score:.2f} "
        f"| {seconds:.0f} | {steps:,} | {weights:,} |"
    )


if __name__ == "__main__":
    main()
