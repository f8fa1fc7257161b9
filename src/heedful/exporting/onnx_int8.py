"""ONNX for ONNX Runtime on a CPU: what a plan made int8 multiplies in int8 there too."""

from pathlib import Path
from typing import Any

from heedful.exporting import onnx
from heedful.exporting.checkpoint_graphs import OpenedCheckpoint
from heedful.training.run import Run

PACKAGES = onnx.PACKAGES


def write_run(run: Run, folder: Path) -> dict[str, Any]:
    """Write what `onnx.write_run` does, with products of 8 bits.

    Args:
        run: As there.
        folder: As there.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: As there, or no layer of the plan is int8.
        VerificationError: As there.
    """
    return onnx.write_run(run, folder, int8=True)


def write_checkpoint(opened: OpenedCheckpoint, folder: Path) -> dict[str, Any]:
    """Write what `onnx.write_checkpoint` does, with products of 8 bits.

    Args:
        opened: As there.
        folder: As there.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: As there, or no layer of the plan is int8.
        VerificationError: As there.
    """
    return onnx.write_checkpoint(opened, folder, int8=True)
