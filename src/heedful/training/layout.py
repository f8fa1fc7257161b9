"""The folder one training leaves behind.

```text
config.toml              the whole configuration, defaults written out
run.json                 how it came about: command, versions, seed, sizes, precision
tokens/, task/           what the task has learned from the data: vocabularies, labels, scales
splits/{dev,test}.jsonl  the held-out examples, so that evaluation needs nothing else
metrics.jsonl            one line a measurement
checkpoints.json         which checkpoints are the last and the best
checkpoints/step-…/      model.safetensors, optimizer.safetensors, progress.json
plan.toml, report.json   of an optimised run: what was changed, and how it was proved
test-looks.jsonl         one line for each time that the test split was judged on
tensorboard/             the measurements once more, where asked for
manifest.json            sizes and hashes of what never changes; each checkpoint has one of its own
```

Everything is read as if somebody else had written it, and compared with the manifest where there is
one.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from heedful.allocation.saved_files import PLAN, REPORT
from heedful.config.file import dump_toml
from heedful.data.examples import Splits
from heedful.files import write_bytes, write_into, write_json
from heedful.locks import LOCK, check_unused
from heedful.manifest import MANIFEST, seal
from heedful.tasks.base import Task
from heedful.tasks.catalog import AnyTask
from heedful.training.checkpoint import FILES, FOLDER, OPTIMISED, POINTER
from heedful.training.settled import CONFIG
from heedful.training.splits import LEDGER, write_split

ABOUT = "run.json"
SPLITS = ("splits/dev.jsonl", "splits/test.jsonl")


def fixed(task: AnyTask) -> tuple[str, ...]:
    """Return what never changes in a run of a task once it is written."""
    return (ABOUT, CONFIG, *task.files, *SPLITS)


def written(task: AnyTask) -> tuple[str, ...]:
    """Return all that is ever in a run of a task, as `remove_written` takes it.

    Also where a kill stopped `write_into`.
    """
    ever = (
        *(*fixed(task), MANIFEST, POINTER, PLAN, REPORT, LEDGER, LOCK),
        *("metrics.jsonl", "tensorboard/events.out.tfevents.*"),
        *(f"{FOLDER}/{name}/{file}" for name in ("step-*", OPTIMISED) for file in FILES),
    )
    return (*ever, *(f"start/{name}" for name in ever))


def create(
    folder: Path,
    task: Task[Any, Any],
    splits: Splits[Any],
    about: Mapping[str, Any],
    first: Callable[[Path], None],
) -> None:
    """Write a new run: all of it, or nothing.

    Args:
        folder: New or empty.
        task: Its config is kept, and what it has learned from the data.
        splits: The held-out ones are kept.
        about: How the run comes about.
        first: Writes the first checkpoint into the folder that it is given.

    Raises:
        RunError: The folder is not empty, or cannot be written.
    """
    check_unused(folder)

    def write(start: Path) -> None:
        make_folders(start, (*task.files, *SPLITS))
        write_bytes(start / CONFIG, dump_toml(task.config).encode())
        task.save(start)
        write_split(start, "dev", splits.dev)
        write_split(start, "test", splits.test)
        first(start)
        write_json(start / ABOUT, about)
        seal(start, fixed(type(task)))

    write_into(folder, write, last=ABOUT, holds=written(type(task)))


def make_folders(root: Path, files: Iterable[str]) -> None:
    """Make the folders that files are to be written into."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
