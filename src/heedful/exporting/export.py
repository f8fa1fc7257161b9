"""`heedful.export`: a model as a folder that other programs run."""

import importlib.util
from pathlib import Path
from typing import Any, Protocol

from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError, MissingExtraError
from heedful.exporting import ctranslate2, onnx, torch_export
from heedful.exporting.about import ABOUT, EXAMPLES, FORMAT, versions
from heedful.files import remove_written, write_into, write_json
from heedful.locks import LOCK, is_unused
from heedful.manifest import MANIFEST, seal
from heedful.tasks.catalog import AnyTask
from heedful.training.run import Run

HOLDS = (
    *(ABOUT, EXAMPLES, MANIFEST, LOCK, "config.toml", "plan.toml", "translate.py", "README.md"),
    *("*.onnx", "*.onnx.data", "*.pt2", "*.bin", "*.json", "*.safetensors", "*.txt"),
    *("tokens/*", "task/*"),
)


class Format(Protocol):
    """One way to write a model; a format is a module with these.

    Attributes:
        PACKAGES: That it needs.
    """

    PACKAGES: tuple[str, ...]

    def write_run(self, run: Run, folder: Path) -> dict[str, Any]:
        """Write the model of a run and return what `export.json` says of it."""
        ...


FORMATS: dict[str, Format] = {
    "onnx": onnx,
    "torch-export": torch_export,
    "ctranslate2": ctranslate2,
}


def export(
    run: str | Path,
    *,
    to: str,
    output: str | Path,
    force: bool = False,
    task: str | AnyTask | None = None,
) -> dict[str, Any]:
    """Write a model as a folder that other programs run, checked against torch on real inputs.

    Args:
        run: Folder written by `heedful.train` or `heedful.optimize_run`.
        to: Which format: "onnx", "torch-export" or "ctranslate2".
        output: New folder.
        force: Replace a folder that an earlier export wrote.
        task: A task of the user's own that the run is of; see `Run`.

    Returns:
        What stands in `export.json`: inputs, outputs, shapes, versions, checks.

    Raises:
        ConfigError: There is no such format, or `output` holds something else.
        MissingExtraError: A package is missing.
        RunError: The run is damaged, or the folder cannot be written.
        UnsupportedError: The format has no words for the model; with the site and the reason.
        VerificationError: The other program says something else than torch.
    """
    folder = Path(output)
    kind = format_of(to)
    check_output(folder, force=force)
    opened = Run(run, device="cpu", task=task)
    about: dict[str, Any] = {"format": FORMAT, "to": to, "task": opened.config.task}

    def fill(temporary: Path) -> None:
        about.update(kind.write_run(opened, temporary))
        about["versions"] = versions(kind.PACKAGES)
        write_json(temporary / ABOUT, about)
        files = [path for path in temporary.rglob("*") if path.is_file()]
        seal(temporary, [path.relative_to(temporary).as_posix() for path in files])

    if force:
        remove_written(folder, HOLDS)
    write_into(folder, fill, last=ABOUT, holds=HOLDS)
    return about


def format_of(to: str) -> Format:
    """Return a format by its name, once all that it needs is there.

    Raises:
        ConfigError: There is none of that name.
        MissingExtraError: A package is missing.
    """
    if to not in FORMATS:
        raise ConfigError(unknown_choice("to", FORMATS, to))
    kind = FORMATS[to]
    missing = [name for name in kind.PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{missing[0]} must be installed for {to}, got none: pip install 'heedful[export]'"
        )
    return kind


def check_output(folder: Path, *, force: bool) -> None:
    """Check, before anything is computed, that nothing is lost.

    Raises:
        ConfigError: The folder holds something, or with `force` something else than an export.
    """
    if is_unused(folder):
        return
    if not force:
        raise ConfigError(f"output must be a new folder, got {folder}. --force replaces it.")
    if not (folder / ABOUT).is_file():
        raise ConfigError(
            f"output must be a folder that heedful export wrote, got {folder}, which has no {ABOUT}"
        )
