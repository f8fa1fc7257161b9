"""Checkpoint folders of Hugging Face, where a verb takes a run or one of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.errors import ConfigError, RunError

if TYPE_CHECKING:
    from heedful.checkpoints.examples import CheckpointData
    from heedful.checkpoints.problem import UserQuality

DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="Of a checkpoint: examples as *.txt, *.csv, *.tsv, *.jsonl, or a folder of files.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="ROLE=NAME",
        help="Which column is the text, pair, label, target or file, e.g. text=review.",
    ),
]


def takes_checkpoint(folder: Path) -> bool:
    """Is this a checkpoint of Hugging Face, or what `heedful optimize` made of one?

    Raises:
        RunError: It is a folder, but neither that nor a run.
    """
    if os.path.isfile(folder / "run.json"):
        return False
    if os.path.isfile(folder / "config.json") or os.path.isfile(folder / "model.json"):
        return True
    if os.path.isdir(folder):
        raise RunError(
            "a folder must be one written by heedful train (run.json) or a checkpoint of "
            f"Hugging Face (config.json), got neither in {folder}"
        )
    return False


def data_of(
    data: Path | None, columns: Sequence[str] | None, test: Path | None = None
) -> "CheckpointData":
    """Return where the examples of a checkpoint are.

    Raises:
        ConfigError: That is not said, or a column is not written as `ROLE=NAME`.
    """
    from heedful.checkpoints.examples import CheckpointData

    if data is None:
        raise ConfigError("--data must name a file of examples for a checkpoint, got nothing")
    named: dict[str, str] = {}
    for text in columns or ():
        role, found, name = text.partition("=")
        if not found or not role or not name:
            raise ConfigError(f"--column must read ROLE=NAME, such as text=review, got {text!r}")
        named[role] = name
    return CheckpointData(path=data, columns=named, test=test)


def check_run(run: Path, **only: Any) -> None:
    """Refuse options of checkpoints where there is none.

    Args:
        run: What is there instead.
        only: These options, by their names.

    Raises:
        ConfigError: One is given.
    """
    given = [name for name, value in only.items() if value]
    if given:
        got = "a run" if run.exists() else f"nothing at {run}"
        raise ConfigError(f"--{given[0]} must come with a checkpoint of Hugging Face, got {got}")


def quality_of(target: str | None) -> "UserQuality | None":
    """Return a metric of the user's own from `MODULE:FUNCTION`.

    Raises:
        ConfigError: There is no such function.
    """
    from heedful.cli._outside import users_code
    from heedful.testing.targets import find_target

    if target is None:
        return None
    function = find_target(target)
    if not callable(function):
        raise ConfigError(f"{target} must be a function, got {type(function).__name__}")

    def quality(model: Any, batches: Any) -> Any:
        with users_code(target, "return one number for each example"):
            return function(model, batches)

    return quality


def _opened_by(folder: Path) -> str:
    """What opens it: a plain checkpoint has a class of transformers."""
    from heedful.files import read_json

    if not (folder / "config.json").is_file():
        return "heedful.load"
    (kind,) = read_json(folder / "config.json")["architectures"]
    return f"transformers.{kind}.from_pretrained"


def how_to_open(folder: Path) -> str:
    """Return the lines of Python that open an optimised checkpoint."""
    reads = {  # a processor has the tokenizer in it
        "processor_config.json": "AutoProcessor",
        "preprocessor_config.json": "AutoProcessor",
        "tokenizer_config.json": "AutoTokenizer",
    }
    kind = next((kind for file, kind in reads.items() if (folder / file).is_file()), None)
    lines = [f"model = {_opened_by(folder)}({str(folder)!r})"]
    if kind is not None:
        lines.append(f"reader = transformers.{kind}.from_pretrained({str(folder)!r})")
    return "\n".join(["Open it in Python with", *(f"    {line}" for line in lines)])
