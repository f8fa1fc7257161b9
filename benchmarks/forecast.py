"""Forecasts of a table: patches with each attention, a linear layer, and what needs no network.

Every network is trained for as long. Windows overlap, so intervals are from whole blocks of
neighbouring ones that are drawn anew: as if each stood for itself, they would be too narrow.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
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


def row(name: str, answers: list[Any], dev: float | None, seconds: float, size: int | None) -> str:
    """One line of the table."""
    errors = np.stack([np.square(each.scaled - each.truth).mean() for each in answers])
    absolute = np.mean([np.abs(each.scaled - each.truth).mean() for each in answers])
    low, high = interval(errors)
    return (
        f"| {name} | {errors.mean():.3f} | {low:.3f} to {high:.3f} | {absolute:.3f} | "
        f"{'' if dev is None else f'{dev:.3f}'} | {seconds:.0f} | "
        f"{'' if size is None else f'{size:,}'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for each training")
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
        f"{arguments.minutes:g} minutes.",
        "",
        "| model | mse | interval | mae | mse on dev | seconds | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, baseline in BASELINES.items():
        began = time.perf_counter()
        answers = baseline(fitted, splits)
        lines.append(row(name, answers, None, time.perf_counter() - began, None))
        print(lines[-1], flush=True)
    for number, (name, change) in enumerate(MODELS.items()):
        model = change if isinstance(change, LinearModel) else base.model.model_copy(update=change)
        train = base.train.model_copy(update={"minutes": arguments.minutes, "epochs": None})
        folder = arguments.runs / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        update = {"model": model, "train": train, "output": str(folder)}
        began = time.perf_counter()
        run = heedful.train(base.model_copy(update=update))
        seconds = time.perf_counter() - began
        answers = run.task.answer(run.model, run.task.encode(splits.test))
        dev = min(each["dev_loss"] for each in read_metrics(run.folder) if "dev_loss" in each)
        lines.append(row(name, answers, dev, seconds, run.about["parameters"]))
        print(lines[-1], flush=True)
    write("forecast", lines)


if __name__ == "__main__":
    main()
