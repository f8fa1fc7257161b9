"""The files of a saved model, known without what builds one."""

import os
from pathlib import Path

WEIGHTS, PLAN, MODEL, REPORT = "model.safetensors", "plan.toml", "model.json", "report.json"


def is_model(folder: Path) -> bool:
    """Is this a folder that `heedful.allocation.stored.save_model` wrote?"""
    return os.path.isfile(folder / MODEL)  # also where no such name can be
