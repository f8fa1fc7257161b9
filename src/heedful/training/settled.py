"""What of a config must stay as it was while a run is gone on with."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from heedful.config.base import TaskConfig, dump
from heedful.config.file import dump_toml
from heedful.errors import HeedfulError, RunError
from heedful.files import write_bytes
from heedful.manifest import MANIFEST, seal, sealed
from heedful.tasks.catalog import AnyTask, load_config
from heedful.texts import parse_toml
from heedful.training.splits import LARGEST

SomeConfig = TypeVar("SomeConfig", bound=TaskConfig)
CONFIG = "config.toml"
# What may change: how long it goes on, and how it keeps its books.
# And what other processes need that go on with it: so that a step sees as much as before.
FREE = (
    *("steps", "epochs", "minutes", "patience", "checkpoint_seconds", "tensorboard", "watch"),
    *("accumulate", "strategy", "compile"),
)

# files of older runs lack them
LATER = {"train.watch", "train.accumulate", "train.strategy", "train.compile"}


def settled(config: SomeConfig) -> SomeConfig:
    """Return a config without what may change."""
    free: dict[str, None] = dict.fromkeys(FREE)
    return config.model_copy(update={"train": config.train.model_copy(update=free)})


def mark(config: TaskConfig) -> str:
    """Return a hash of all that must stay."""
    text = dump_toml(settled(config))
    for key in LATER:  # as it was before them
        text = text.replace(f'{key.removeprefix("train.")} = ""\n', "")
    return hashlib.sha256(text.encode()).hexdigest()


def edited(path: Path, about: Any, source: str | AnyTask | None = None) -> TaskConfig | None:
    """Return the config of a run that somebody has edited, where only what may change has.

    Args:
        path: Of the file, which is not what was written.
        about: What `run.json` holds, with the `mark` of what was written.
        source: A task of the user's own; see `find_task`.

    Returns:
        `None` where anything else has changed, or is missing: a file that was cut is damaged.
    """
    try:
        config = load_config(path, source=source)
        text = path.read_text(encoding="utf-8-sig")
        there = _keys(parse_toml(text)) | LATER
        whole = text.endswith("\n") and _keys(dump(config)) <= there
    except (HeedfulError, OSError, ValueError):
        return None
    if not whole or not isinstance(about, dict):
        return None
    return config if cast(dict[str, Any], about).get("config") == mark(config) else None


def change_config(folder: Path, config: TaskConfig) -> None:
    """Let a run have this config; a kill meanwhile leaves it without a manifest, not damaged.

    Raises:
        RunError: What the run holds is not what was written, or it cannot be written.
    """
    content, kept = dump_toml(config).encode(), sealed(folder)
    with suppress(RunError):  # it was edited
        if kept.read(CONFIG) == content:
            return
    names = list(kept.files or ())
    for name in {*names} - {CONFIG}:  # nothing is sealed again that has changed meanwhile
        kept.read(name, most=LARGEST)
    (folder / MANIFEST).unlink(missing_ok=True)
    write_bytes(folder / CONFIG, content)
    if names:
        seal(folder, names)


def _keys(tables: dict[str, Any]) -> set[str]:
    inner = {key: value for key, value in tables.items() if isinstance(value, dict)}
    return {*tables, *(f"{key}.{name}" for key, table in inner.items() for name in table)}
