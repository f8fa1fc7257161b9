"""A plain model of transformers as a folder that `from_pretrained` opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import nn

from heedful.allocation.saved_files import REPORT
from heedful.files import write_files, write_into, write_json
from heedful.locks import check_unused

CONFIG = "config.json"
HOLDS = (CONFIG, "generation_config.json", "*.safetensors", "*.safetensors.index.json", REPORT)


def save_stock(
    folder: Path,
    model: nn.Module,
    *,
    report: dict[str, Any],
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model of transformers; the folder appears whole or not at all.

    Args:
        folder: New.
        model: As `stock_model` returns it.
        report: Written beside it.
        beside: Further files by their path in the folder, such as a tokeniser.

    Raises:
        RunError: The folder exists, or cannot be written.
    """
    check_unused(folder)

    def write(temporary: Path) -> None:
        write_files(temporary, beside or {})
        _save_quietly(model, temporary)
        write_json(temporary / REPORT, report)

    write_into(folder, write, last=CONFIG, holds=(*HOLDS, *(beside or {})))


def _save_quietly(model: nn.Module, folder: Path) -> None:
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        cast(Any, model).save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
