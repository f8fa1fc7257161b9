"""Which sizes make a model: the rules of its constructors, known without building it."""

from collections.abc import Mapping
from typing import Any


def problem(model: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the settings of a `[model]` table, or `None`.

    Args:
        model: All its settings, as plain data.
    """
    width = model["width"]
    if model["name"] != "transformer":
        return None
    heads, positions = model["heads"], model["positions"]
    kv_heads = model.get("kv_heads", heads)
    if width % heads:
        return f"heads must divide width, got {heads=}, {width=}"
    if heads % kv_heads:
        return f"kv_heads must divide heads, got {kv_heads=}, {heads=}"
    if "rotary" in positions and width // heads % 2:
        return f"width / heads must be even for rotary positions, got {width=}, {heads=}"
    if "sinusoidal" in positions and width % 2:
        return f"width must be even for sinusoidal positions, got {width=}"
    return None
