"""Held-out examples as a file, one JSON object a line; and what is left to learn from."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from heedful.config.base import TaskConfig
from heedful.data.overlaps import without_held_out
from heedful.errors import DataError, RunError
from heedful.files import reason, write_bytes

if TYPE_CHECKING:
    from heedful.tasks.base import Dataset
    from heedful.training.run import Run

SomeExample = TypeVar("SomeExample")
LARGEST = 1 << 32  # bytes of a split
LEDGER = "test-looks.jsonl"  # a line for each time that a test split was judged on


def write_split(folder: Path, split: str, examples: Sequence[Any]) -> None:
    """Write what `Run.examples` reads, in a run that is being made.

    Args:
        folder: The run folder.
        split: `dev` or `test`.
        examples: Dataclasses of texts and numbers.

    Raises:
        DataError: Examples are something else, and could not be read again.
        RunError: The folder cannot be written.
    """
    path = folder / "splits" / f"{split}.jsonl"
    try:
        lines = [json.dumps(asdict(example), ensure_ascii=False) for example in examples]
        content = "".join(f"{line}\n" for line in lines).encode()
        for kind in {type(example) for example in examples}:  # the user's, so one at most
            parse_split(content, path, kind)
    except (TypeError, ValueError, RunError) as error:  # now, and not when all is trained
        got = str(error).partition("must be whole, ")[2] or reason(error)
        raise DataError(
            f"examples of the {split} split must be dataclasses of texts and numbers as their "
            f"fields say, got: {got.removeprefix('got '):.200}"
        ) from None
    write_bytes(path, content)


def parse_split(content: bytes, path: Path, kind: type[SomeExample]) -> list[SomeExample]:
    """Turn what `path` holds into examples.

    Args:
        content: Of the file.
        path: Of it, for messages.
        kind: The dataclass that every line holds.

    Raises:
        RunError: A line is damaged, or holds anything but such an example; none is ever left out.
    """
    if content and not content.endswith(b"\n"):
        raise RunError(f"{path} must be whole, got no end of its last line")
    lines, adapter = content.split(b"\n")[:-1], TypeAdapter(kind)
    names = {field.name for field in fields(cast(Any, kind))}
    return [_example(adapter, names, line, path, n) for n, line in enumerate(lines, 1)]


def _example(
    adapter: TypeAdapter[SomeExample], names: set[str], line: bytes, path: Path, number: int
) -> SomeExample:
    try:
        strange = {*json.loads(line)} - names
        if strange:
            raise ValueError(f"{min(strange)!r:.40} is not known")
        return adapter.validate_json(line, strict=True)
    except RecursionError:
        got = "brackets without end"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        got = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
    except (TypeError, ValueError) as error:
        got = reason(error)
    raise RunError(f"{path} must be whole, got a damaged line {number}: {got:.100}")


def shown_split(run: "Run") -> str:
    """Return the split that real inputs are taken from: `test`, or `dev` where there is none."""
    return "test" if run.examples("test") else "dev"


def training_examples(run: "Run", config: TaskConfig | None = None) -> list[Any]:
    """Read the training split of a run again, without what was left out of the training.

    Args:
        run: That was trained on it.
        config: Where the training goes on with another one; `None` means that of the run.
    """
    train = run.kind.read_training(run.config if config is None else config)
    if not run.about.get("left_out"):
        return train
    held_out = [*run.examples("dev"), *run.examples("test")]
    return without_held_out(train, held_out, run.task.identity)


def check_trained_on(run: "Run", data: "Dataset") -> None:
    """Raise unless these are the examples that a run was trained on.

    Args:
        run: That was trained.
        data: Its training split as it is read now.

    Raises:
        RunError: They are others; and from which versions of what makes built-in examples.
    """
    if run.about.get("data_fingerprint") == data.fingerprint():
        return
    then, now = run.about.get("versions", {}), versions_of_examples()
    other = [f"{name} {then[name]}, now {now[name]}" for name in now if then.get(name) != now[name]]
    why = f" Where they are built in: it was made with {'; '.join(other)}." if other else ""
    raise RunError(
        f"the training data of {run.folder} must be what it was, got other examples. "
        f"Restore the files, or train anew.{why}"
    )


def versions_of_examples() -> dict[str, str]:
    """Versions of what built-in examples are made from: texts of Python, phrases of babel."""
    return {"python": platform.python_version(), "babel": version("babel")}
