"""Cumulative mass: the fewest blocks that together carry enough of the attention."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heedful.errors import ConfigError, ShapeError


@torch.no_grad()
def choose_blocks(
    mass: Float[Tensor, "batch heads query_blocks key_blocks"],
    *,
    coverage: float,
    keep: Bool[Tensor, "..."] | None = None,
) -> Bool[Tensor, "batch heads query_blocks key_blocks"]:
    """Choose, for each query block, the fewest key blocks with the share `coverage` of the mass.

    Those in `keep` are chosen first, and their mass counts; then the heaviest ones follow.

    Args:
        mass: Not negative. A row need not sum to one.
        coverage: Share of a row's sum to reach, above 0 and at most 1; at 1 all mass is chosen, but
            blocks without mass are not.
        keep: Blocks to choose whatever their mass; broadcasts to `mass`. `None` means: none.

    Returns:
        True for the chosen blocks, as `Mask.blocks` takes them.

    Raises:
        ShapeError: `mass` is not 4-D, or `keep` does not broadcast to it.
        ConfigError: `coverage` is not above 0 and at most 1, or `keep` is not boolean.

    Source:
        Xu et al. 2025, arXiv:2503.16428 (threshold block selection).
    """
    _check(mass, coverage, keep)
    free = mass
    covered = mass.new_zeros((), dtype=torch.float64)
    if keep is not None:
        free = mass.masked_fill(keep, 0.0)
        covered = (mass * keep).sum(-1, keepdim=True, dtype=torch.float64)
    heaviest, places = free.sort(-1, descending=True)
    # in float64, so that what is added last is not lost among rounding errors of the rest
    through = heaviest.cumsum(-1, dtype=torch.float64)
    enough = coverage * mass.sum(-1, keepdim=True, dtype=torch.float64)
    needed = (covered + through - heaviest < enough) & (heaviest > 0)
    chosen = torch.zeros_like(needed).scatter_(-1, places, needed)
    return chosen if keep is None else chosen | keep


def _check(mass: Tensor, coverage: float, keep: Tensor | None) -> None:
    if mass.ndim != 4:
        raise ShapeError(
            "mass must be 4-D (batch, heads, query_blocks, key_blocks), "
            f"got a tensor of shape {tuple(mass.shape)}"
        )
    if not 0 < coverage <= 1:
        raise ConfigError(f"coverage must be above 0 and at most 1, got {coverage}")
    if keep is None:
        return
    if keep.dtype != torch.bool:
        raise ConfigError(f"keep must be boolean (True = keep), got {keep.dtype}")
    try:
        fits = torch.broadcast_shapes(keep.shape, mass.shape) == mass.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"keep must broadcast to mass of shape {tuple(mass.shape)}, got {tuple(keep.shape)}"
        )
