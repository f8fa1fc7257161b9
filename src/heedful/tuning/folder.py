"""The folder of a search.

```text
search.json        what is searched: config, goal, space; a search goes on with the same only
journal.jsonl      Optuna's journal: every trial, as it goes
trials.json        every finished trial, for people and programs
best.toml          the cheapest config that keeps the quality
trials/001/        the run of trial 1; those of losers keep their measurements only
workers/           what the worker processes print, and which commands take part
```
"""

import json
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from heedful.called import called
from heedful.config.base import Section, TaskConfig, dump, paths_in
from heedful.config.file import dump_toml
from heedful.errors import RunError
from heedful.files import read_json, reason, write_bytes, write_json
from heedful.locks import LOCK, is_unused
from heedful.manifest import hash_of
from heedful.removal import remove_written
from heedful.sharing.storage import without_password
from heedful.tasks.catalog import AnyTask
from heedful.training.layout import written
from heedful.tuning.goal import Goal
from heedful.tuning.space import Space
from heedful.tuning.trial import Trial, trial_from_json

SEARCH, NAME = "search.json", "name"
FILES = (SEARCH, "journal.jsonl", "journal.jsonl.lock", "trials.json", "best.toml", LOCK)


def open_folder(folder: Path, config: TaskConfig, goal: Goal, space: Space, *, resume: bool) -> str:
    """Make the folder of a new search, or check that one there is of the same search.

    Returns:
        What the search is called where others are as well, as in a database.

    Raises:
        RunError: A new search finds something there; one that goes on finds nothing, or another.
    """
    plain = {
        "config": dump(config.model_copy(update={"output": None})),
        "goal": goal.to_json(),
        "space": space.to_json(),
        "files": _hashes(config),
    }
    check_folder(folder, resume=resume)
    if resume:
        return _check_same(folder, plain)
    try:
        for name in ("trials", "workers"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} must be writable, got: {reason(error)}") from None
    name = f"heedful-{secrets.token_hex(8)}"
    write_json(folder / SEARCH, plain | {NAME: name})
    return name


def check_folder(folder: Path, *, resume: bool) -> None:
    """Check, without touching it, that a folder holds a search to go on with, or else nothing.

    Raises:
        RunError: It does not.
    """
    there = os.path.isfile(folder / SEARCH)  # also where no such name can be
    for name in ("trials", "workers"):
        if (folder / name).is_symlink():
            raise RunError(f"{folder / name} must be a folder of the search, got a link")
    if resume and not there:
        raise RunError(f"a search to go on with must be there, got none in {folder}")
    if not resume and not is_unused(folder):
        hint = " Go on with --resume." if there else ""
        raise RunError(f"output must be a new or an empty folder, got {folder}.{hint}")


def _hashes(config: TaskConfig) -> dict[str, str]:
    """SHA-256 of each file that the config names: a search of other data is another one."""
    hashes: dict[str, str] = {}
    for name in type(config).model_fields:
        section = getattr(config, name)
        for key, path in (paths_in(section) if isinstance(section, Section) else {}).items():
            hashes[key if name == "data" else f"{name}.{key}"] = _hash(Path(path))
    return hashes


def _hash(path: Path) -> str:
    """Of a file its content; of a folder the names and sizes of all that is in it."""
    if path.is_file():
        return hash_of(path)[1]
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    listed = [f"{each.relative_to(path).as_posix()} {each.stat().st_size}" for each in inside]
    return sha256("\n".join(listed).encode("utf-8", "surrogateescape")).hexdigest()


def _check_same(folder: Path, plain: dict[str, Any]) -> str:
    content = read_json(folder / SEARCH)
    if not isinstance(content, dict):
        raise RunError(f"{folder / SEARCH} must say what is searched, got {content!r:.80}")
    before, now = _flat(cast(dict[str, Any], content)), _flat(plain)
    name = str(before.pop(NAME, "heedful"))  # older searches have none
    length = before.pop("goal.length", None)  # once there was one, which mattered to MACs alone
    if length is not None and before.get("goal.cost") == "macs":
        raise RunError(
            f"a search must go on with MACs counted as before, got those of examples of dev after "
            f"those of texts of {length} tokens. Choose another output to search anew."
        )
    different = [key for key in (*before, *now) if before.get(key) != now.get(key)]
    if different:
        key = different[0]
        raise RunError(
            f"a search must go on with the same {key}, got {now.get(key)!r} after "
            f"{before.get(key)!r}. Choose another output to search anew."
        )
    return name


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            flat |= _flat(cast(dict[str, Any], value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def check_results(folder: Path, trials: Sequence[Trial]) -> None:
    """Check that the journal still holds every trial that `trials.json` tells of.

    Args:
        folder: Of the search.
        trials: That the journal holds.

    Raises:
        RunError: One is missing or another one, so the journal is damaged; or `trials.json` is.
    """
    path = folder / "trials.json"
    if not path.is_file():
        return
    journal = {trial.number: _as_told(trial.to_json()) for trial in trials}
    try:
        told = {
            plain["number"]: _as_told(trial_from_json(plain).to_json())
            for plain in read_json(path)["trials"]
        }
    except (TypeError, KeyError, AttributeError, ValueError):
        raise RunError(f"{path} must be whole, got no list of trials") from None
    for number, plain in told.items():
        if journal.get(number) != plain:
            got = "another one" if number in journal else "none"
            raise RunError(
                f"the journal of {folder} must hold trial {number} as {path.name} tells it, "
                f"got {got}: one of them is damaged"
            )


def told_before(folder: Path) -> int:
    """Return how many trials `trials.json` tells of; 0 where it cannot be read or is not there."""
    try:
        return len(read_json(folder / "trials.json")["trials"])
    except (RunError, OSError, TypeError, KeyError):  # who goes on with the search will say so
        return 0


def _as_told(plain: Mapping[str, Any]) -> str:
    """A trial as JSON, without the latency that only the end of a search measures."""
    return json.dumps({**plain, "remeasured": None}, sort_keys=True)


def run_folder(folder: Path, number: int) -> Path:
    """Return where the run of a trial is."""
    return folder / "trials" / f"{number:03}"


def discard(folder: Path, task: AnyTask) -> None:
    """Delete a search of a task, unless somebody has put something else into its folder."""
    runs = (f"trials/*/{name}" for name in written(task))
    crew = ("workers/worker-*.log", "workers/command-*/*")
    remove_written(folder, (*FILES, *crew, *runs))


def tidy(folder: Path, task: AnyTask, *, known: Collection[int], weights: Collection[int]) -> None:
    """Delete the runs of unknown trials, and the weights of those known ones that lost.

    What a training does not write stays, and so does the folder that it is in; so does a copy of a
    run under a name of its own.

    Args:
        folder: Of the search.
        task: What is trained.
        known: Trials whose runs stay.
        weights: Trials whose weights stay as well.
    """
    files = written(task)
    heavy = (
        "checkpoints",
        "splits",
        *{name.partition("/")[0] for name in task.files if "/" in name},
    )
    for run in list((folder / "trials").iterdir()):
        number = int(run.name) if re.fullmatch("[0-9]{3,9}", run.name) else None
        if number is None or run != run_folder(folder, number) or run.is_symlink():
            continue
        if number not in known:
            remove_written(run, files)
        elif number not in weights:
            for name in heavy:
                start = f"{name}/"
                own = [x.removeprefix(start) for x in files if x.startswith(start)]
                remove_written(run / name, own)
            if not (run / "checkpoints").exists():
                (run / "checkpoints.json").unlink(missing_ok=True)


def write_results(
    folder: Path, goal: Goal, best: Trial | None, config: TaskConfig | None, plain: dict[str, Any]
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
        "command": [without_password(word) for word in called()],
        "versions": {package: version(package) for package in packages},
    }
