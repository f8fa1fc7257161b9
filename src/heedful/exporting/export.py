"""`heedful.export`: a model as a folder that other programs run."""

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from heedful.allocation.saved_files import PLAN, is_model
from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.folder import is_checkpoint
from heedful.checkpoints.heads.seq2seq import Seq2SeqHead
from heedful.checkpoints.optimize import files_beside
from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError, MissingExtraError
from heedful.exporting import ctranslate2, hf, onnx, onnx_int8, torch_export
from heedful.exporting.about import ABOUT, EXAMPLES, FORMAT, versions
from heedful.exporting.checkpoint_graphs import OpenedCheckpoint, opened_for_export
from heedful.files import write_files, write_into, write_json
from heedful.locks import LOCK, is_unused
from heedful.manifest import MANIFEST, seal, sealed
from heedful.tasks.catalog import AnyTask
from heedful.training.run import Run

HOLDS = (
    *(ABOUT, EXAMPLES, MANIFEST, LOCK, "config.toml", "plan.toml", "translate.py", "README.md"),
    *("*.onnx", "*.onnx.data", "*.pt2", "*.bin", "*.json", "*.safetensors", "*.txt"),
    *("tokens/*", "task/*", "*.model", "*.jinja", "1_Pooling/*"),
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

    def write_checkpoint(self, opened: OpenedCheckpoint, folder: Path) -> dict[str, Any]:
        """Write the model of a checkpoint and return what `export.json` says of it."""
        ...


FORMATS: dict[str, Format] = {
    "onnx": onnx,
    "onnx-int8": onnx_int8,
    "torch-export": torch_export,
    "ctranslate2": ctranslate2,
    "hf": hf,
}


def export(
    run: str | Path,
    *,
    to: str,
    output: str | Path,
    force: bool = False,
    task: str | AnyTask | None = None,
    data: CheckpointData | None = None,
) -> dict[str, Any]:
    """Write a model as a folder that other programs run, checked against torch on real inputs.

    Args:
        run: Folder written by `heedful.train` or `heedful.optimize_run`; or a checkpoint of Hugging
            Face, as it is or optimised.
        to: Which format: "onnx", "onnx-int8", "torch-export", "ctranslate2" or "hf".
        output: New folder.
        force: Replace a folder that an earlier export wrote.
        task: A task of the user's own that the run is of; see `Run`.
        data: Real inputs of a checkpoint. `None` means sentences of Python's language reference,
            for models that read texts.

    Returns:
        What stands in `export.json`: inputs, outputs, shapes, versions, checks.

    Raises:
        ConfigError: There is no such format, `output` holds something else, or `task` or `data` is
            given for what has none.
        DataError: `data` cannot be read.
        MissingExtraError: A package is missing.
        RunError: The run is damaged, or the folder cannot be written.
        UnsupportedError: The format has no words for the model; with the site and the reason.
        VerificationError: The other program says something else than torch.
    """
    source, folder = Path(run), Path(output)
    kind = format_of(to)
    check_output(folder, force=force)
    begun: dict[str, Any] = {"format": FORMAT, "to": to}
    if is_checkpoint(source) or is_model(source):
        if task is not None:
            raise ConfigError(f"task must come with a run, got {task!r:.80} with a checkpoint")
        opened = opened_for_export(source, data)
        begun["checkpoint"] = opened.checkpoint.architecture
        fill = partial(_fill_from_checkpoint, kind, opened)
    else:
        if data is not None:
            raise ConfigError(f"data must come with a checkpoint, got {data.path} with a run")
        trained = Run(run, device="cpu", task=task)
        begun["task"] = trained.config.task
        fill = partial(kind.write_run, trained)
    return _write(folder, kind, begun, fill, force=force)


def _fill_from_checkpoint(kind: Format, opened: OpenedCheckpoint, folder: Path) -> dict[str, Any]:
    """The model of a checkpoint, and what else whoever runs it needs: a tokeniser, a plan."""
    source = opened.checkpoint.folder
    about = kind.write_checkpoint(opened, folder)
    beside = files_beside(opened.head, source)
    if is_model(source):
        beside[PLAN] = (source / PLAN).read_bytes()
    if isinstance(opened.head, Seq2SeqHead):  # which tokens end a text, and which are forced
        told: Any = opened.checkpoint.model.generation_config
        beside["generation_config.json"] = told.to_json_string().encode()
    write_files(folder, beside)
    return about


def _write(
    folder: Path,
    kind: Format,
    begun: dict[str, Any],
    fill: Callable[[Path], dict[str, Any]],
    *,
    force: bool,
) -> dict[str, Any]:
    """Let a format fill the folder, which appears whole or not at all."""
    about = dict(begun)

    def fill_all(temporary: Path) -> None:
        about.update(fill(temporary))
        about["versions"] = versions(kind.PACKAGES)
        write_json(temporary / ABOUT, about)
        files = [path for path in temporary.rglob("*") if path.is_file()]
        seal(temporary, [path.relative_to(temporary).as_posix() for path in files])
        if force:  # now that there is something in its place
            _remove_earlier(folder)

    write_into(folder, fill_all, last=ABOUT, holds=HOLDS)
    return about


def _remove_earlier(folder: Path) -> None:
    """Delete what an earlier export wrote, file by file, and nothing that lies beside it."""
    written = [folder / name for name in (*(sealed(folder).files or ()), MANIFEST)]
    for path in written:
        path.unlink(missing_ok=True)
    for inner in {path.parent for path in written} - {folder}:
        with suppress(OSError):  # something else is in it
            inner.rmdir()


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
        RunError: What the export before lists of its files is damaged.
    """
    if is_unused(folder):
        return
    if not force:
        raise ConfigError(f"output must be a new folder, got {folder}. --force replaces it.")
    if not (folder / ABOUT).is_file():
        raise ConfigError(
            f"output must be a folder that heedful export wrote, got {folder}, which has no {ABOUT}"
        )
    if sealed(folder, holder="an export").files is None:
        raise ConfigError(
            f"output must be a folder that heedful export wrote, got {folder}, which has no "
            f"{MANIFEST}. Delete it, or choose another."
        )
