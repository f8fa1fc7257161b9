"""A plain checkpoint of transformers: `from_pretrained` opens it where nobody has heedful."""

from pathlib import Path
from typing import Any, NoReturn

from heedful.allocation.stock import stock_model
from heedful.checkpoints.folder import reading
from heedful.errors import UnsupportedError
from heedful.exporting.checkpoint_graphs import OpenedCheckpoint, answering
from heedful.exporting.checks import check
from heedful.training.run import Run

PACKAGES: tuple[str, ...] = ("transformers", "safetensors")
IMPLEMENTATIONS = ("eager", "sdpa")  # that everybody has


def write_run(run: Run, folder: Path) -> NoReturn:
    """Refuse a run: its models are heedful's own.

    Raises:
        UnsupportedError: Always.
    """
    raise UnsupportedError(
        f"a plain checkpoint must be of a class of transformers, got {type(run.model).__name__} "
        "of a run; onnx and torch-export take it"
    )


def write_checkpoint(opened: OpenedCheckpoint, folder: Path) -> dict[str, Any]:
    """Write a checkpoint that needs no plan, open it again, and compare it on real inputs.

    Args:
        opened: Never changed.
        folder: New.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: No config says what the model is; with the site and the reason.
        VerificationError: What was written says something else.
    """
    model: Any = opened.checkpoint.model
    plain: Any = stock_model(model)
    used = model.config._attn_implementation
    with reading():
        plain.save_pretrained(folder)
        again = type(model).from_pretrained(
            folder,
            local_files_only=True,
            attn_implementation=used if used in IMPLEMENTATIONS else None,
        )
    graph = answering(opened, model)
    written = answering(opened, again.eval())
    return {"checks": [check(graph, written.run).to_json()]}
