"""Forecasts of a table: patches with each attention, a linear layer, and what needs no network.

Every network learns for as many seconds of the processor, in as many steps as fit into these.
Windows overlap, so intervals are from whole blocks of neighbouring ones that are drawn anew: as if
each stood for itself, they would be too narrow.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import write

import heedful
from heedful.bench.entries.forecast import repeat_last, repeat_season, ridge
from heedful.tasks.catalog import find_task, load_config
from heedful.tasks.forecast.config import LinearModel
from heedful.training.metrics import read_metrics

CONFIG = Path(__file__).parent / "configs" / "etth2.toml"
BLOCK = 168  # windows: one begins every hour, so these begin in one week
DRAWS = 1_000
BASELINES = {"last row": repeat_last, "last season": repeat_season, "ridge": ridge}
MODELS: dict[str, Any] = {
    "linear layer (NLinear)": LinearModel(),
    "patches, no attention": {"attention": "none"},
    "patches, windowed attention": {"attention": "window"},
    "patches, full attention": {},
    "patches, full attention, not normalised": {"normalise": False},
}


def interval(errors: np.ndarray) -> tuple[float, float]:
    """95 % of the means of blocks drawn anew."""
    draw = np.random.default_rng(0)
    starts = draw.integers(0, len(errors), (DRAWS, -(-len(errors) // BLOCK)))
    rows = (starts[..., None] + np.arange(BLOCK)) % len(errors)
    low, high = np.quantile(errors[rows].mean((1, 2)), [0.025, 0.975])
    return float(low), float(high)


def row(name: str, answers: list[Any], seconds: float, learned: tuple[Any, ...] = ()) -> str:
    """One line of the table; of what was learned the error on dev, the steps and the parameters."""
    errors = np.stack([np.square(each.scaled - each.truth).mean() for each in answers])
    absolute = np.mean([np.abs(each.scaled - each.truth).mean() for each in answers])
    low, high = interval(errors)
    dev, steps, size = (f"{learned[0]:.3f}", *learned[1:]) if learned else ("", "", "")
    return (
        f"| {name} | {errors.mean():.3f} | {low:.3f} to {high:.3f} | {absolute:.3f} | "
        f"{dev} | {steps} | {seconds:.0f} | {size} |"
    )


def step_seconds(config: Any, fitted: Any, splits: Any) -> float:
    """Seconds of the processor that a step takes: the least of some."""
    task = type(fitted)(config, fitted.scale)
    model = task.build()
    rows = range(config.train.batch_size)
    batch = task.encode(splits.train[: len(rows)]).batch(rows, "cpu")
    found: list[float] = []
    for _ in range(6):
        began = time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, count = task.loss(model, batch)
        (loss / count).backward()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of learning, for each network")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/forecast"))
    arguments = parser.parse_args()
    kind = find_task("forecast")
    base: Any = kind.located(load_config(CONFIG, overrides=[f"seed={arguments.seed}"]))
    splits = kind.read(base)
    fitted = kind.fit(base, splits.train)
    lines = [
        f"ETTh2, {base.window.history} rows to {base.window.horizon}, all {len(splits.test):,} "
        "windows of the test part, scaled by the training part. Squared (mse) and absolute (mae)",
        f"errors; 95 % intervals of mse from blocks of {BLOCK} windows; each network learned for "
        f"{arguments.seconds:g} seconds of one thread. Seconds are of all, on a machine with other "
        "work.",
        "",
        "| model | mse | interval | mae | mse on dev | steps | seconds | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, baseline in BASELINES.items():
        began = time.perf_counter()
        answers = baseline(fitted, splits)
        lines.append(row(name, answers, time.perf_counter() - began))
        print(lines[-1], flush=True)
    for number, (name, change) in enumerate(MODELS.items()):
        model = change if isinstance(change, LinearModel) else base.model.model_copy(update=change)
        config = base.model_copy(update={"model": model})
        steps = max(1, round(arguments.seconds / step_seconds(config, fitted, splits)))
        train = base.train.model_copy(update={"steps": steps, "epochs": None})
        folder = arguments.runs / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        update = {"train": train, "output": str(folder)}
        began = time.perf_counter()
        run = heedful.train(config.model_copy(update=update))
        seconds = time.perf_counter() - began
        answers = run.task.answer(run.model, run.task.encode(splits.test))
        dev = min(each["dev_loss"] for each in read_metrics(run.folder) if "dev_loss" in each)
        lines.append(row(name, answers, seconds, (dev, steps, run.about["parameters"])))
        print(lines[-1], flush=True)
    write("forecast", lines)


if __name__ == "__main__":
    main()
