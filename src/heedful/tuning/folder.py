"""The folder of a search.

```text
search.json        what is searched: config, goal, space; a search goes on with the same only
journal.jsonl      Optuna's journal: every trial, as it goes
trials.json        every finished trial, for people and programs
best.toml          the cheapest config that keeps the quality
trials/001/        the run of trial 1; those of losers keep their measurements only
workers/           what the worker processes print
```
"""

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from heedful.config import Config, dump
from heedful.config_file import dump_toml
from heedful.errors import RunError
from heedful.files import read_json, write_bytes, write_json
from heedful.locks import is_unused
from heedful.tuning.goal import Goal
from heedful.tuning.space import Space
from heedful.tuning.trial import Trial

SEARCH = "search.json"


def open_folder(folder: Path, config: Config, goal: Goal, space: Space, *, resume: bool) -> None:
    """Make the folder of a new search, or check that one there is of the same search.

    Raises:
        RunError: A new search finds something there; one that goes on finds nothing, or another.
    """
    plain = {
        "config": dump(config.model_copy(update={"output": None})),
        "goal": goal.to_json(),
        "space": space.to_json(),
    }
    check_folder(folder, resume=resume)
    if resume:
        _check_same(folder, plain)
        return
    try:
        for name in ("trials", "workers"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} must be writable, got: {error.strerror or error}") from None
    write_json(folder / SEARCH, plain)


def check_folder(folder: Path, *, resume: bool) -> None:
    """Check, without touching it, that a folder holds a search to go on with, or else nothing.

    Raises:
        RunError: It does not.
    """
    there = (folder / SEARCH).is_file()
    if resume and not there:
        raise RunError(f"a search to go on with must be there, got none in {folder}")
    if not resume and not is_unused(folder):
        hint = " Go on with --resume." if there else ""
        raise RunError(f"output must be a new or an empty folder, got {folder}.{hint}")


def _check_same(folder: Path, plain: dict[str, Any]) -> None:
    before, now = _flat(read_json(folder / SEARCH)), _flat(plain)
    different = [key for key in (*before, *now) if before.get(key) != now.get(key)]
    if different:
        key = different[0]
        raise RunError(
            f"a search must go on with the same {key}, got {now.get(key)!r} after "
            f"{before.get(key)!r}. Choose another output to search anew."
        )


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            flat |= _flat(cast(dict[str, Any], value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def run_folder(folder: Path, number: int) -> Path:
    """Return where the run of a trial is."""
    return folder / "trials" / f"{number:03}"


def discard(folder: Path) -> None:
    """Delete all that a search has written."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink()


def tidy(folder: Path, *, known: Collection[int], weights: Collection[int]) -> None:
    """Delete the runs of unknown trials, and the weights of those known ones that lost.

    Args:
        folder: Of the search.
        known: Trials whose runs stay.
        weights: Trials whose weights stay as well.
    """
    for run in (folder / "trials").iterdir():
        if not run.name.isdecimal() or int(run.name) not in known:
            shutil.rmtree(run, ignore_errors=True)
        elif int(run.name) not in weights:
            for name in ("checkpoints", "splits", "tokens"):
                shutil.rmtree(run / name, ignore_errors=True)
            (run / "checkpoints.json").unlink(missing_ok=True)


def write_results(
    folder: Path, goal: Goal, best: Trial | None, config: Config | None, plain: dict[str, Any]
) -> None:
    """Write `trials.json`, and the config of the best trial as `heedful train` takes it."""
    write_json(folder / "trials.json", plain)
    if best is not None and config is not None:
        head = f"# Found by heedful tune, trial {best.number}: {outcome(best, goal)}.\n"
        whole = dump_toml(config.model_copy(update={"output": None}))
        write_bytes(folder / "best.toml", (head + whole).encode())


def outcome(trial: Trial, goal: Goal) -> str:
    """Say what a trial is worth, and what it costs, as far as that is known."""
    metric = goal.keep.metric
    quality = f"no {metric}" if trial.quality is None else f"{metric} {trial.quality:.4g}"
    cost = trial.cost if trial.remeasured is None else trial.remeasured
    if cost is None:
        return quality
    return f"{quality}, {cost:,.{2 if goal.cost == 'latency' else 0}f} {goal.unit}"


def trials_json(
    goal: Goal, trials: Sequence[Trial], best: Trial | None, *, seed: int
) -> dict[str, Any]:
    """Return what `trials.json` holds: all trials, and how the search came about."""
    packages = ("heedful", "torch", "optuna")
    return {
        "goal": goal.to_json(),
        "unit": goal.unit,
        "best": None if best is None else best.number,
        "trials": [trial.to_json() for trial in trials],
        "seed": seed,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {package: version(package) for package in packages},
    }
