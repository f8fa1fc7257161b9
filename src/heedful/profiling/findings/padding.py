"""Padding: places of a batch that are computed and thrown away."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from heedful.optimizing.problem import Problem
from heedful.profiling.findings.finding import Finding

MASK = "attention_mask"
MUCH = 0.1  # a share of all places


def needless_padding(problem: Problem) -> Finding | None:
    """Find which share of the places of the batches is padding.

    Args:
        problem: Whose batches are looked at.
    """
    share = padded_share(problem.calibration)
    if share < MUCH:
        return None
    fixed = _fixed(problem.calibration)
    why = f"; every batch has {fixed} places" if fixed else ""
    return Finding(
        name="padding",
        text=f"{share:.0%} of the places of the batches are padding{why}",
        remedy="put texts of like lengths into one batch, and pad to the longest of it",
    )


def padded_share(batches: Any) -> float:
    """Return which share of the places is padding; 0 where batches do not say what is.

    Args:
        batches: Mappings with an attention mask of two axes.
    """
    masks = [mask for mask in map(_mask, batches) if mask is not None]
    places = sum(mask.numel() for mask in masks)
    return 1 - sum(int((mask != 0).sum()) for mask in masks) / places if places else 0.0


def _mask(batch: Any) -> Tensor | None:
    if not isinstance(batch, Mapping):
        return None
    mask = cast(Mapping[str, Any], batch).get(MASK)
    return mask if isinstance(mask, Tensor) and mask.ndim == 2 else None


def _fixed(batches: Any) -> int | None:
    """The width of all batches, where that is one and longer than any text."""
    masks = [mask for mask in map(_mask, batches) if mask is not None]
    widths = {mask.shape[1] for mask in masks}
    longest = max((int((mask != 0).sum(1).max()) for mask in masks), default=0)
    width = next(iter(widths), 0)
    return width if len(masks) > 1 and len(widths) == 1 and longest < width else None
