"""Ways to spend less at one site, and candidates: one choice of them for each site."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.errors import ConfigError

Assignment = tuple[int, ...]
"""The index of one level for each site."""


@dataclass(frozen=True, kw_only=True)
class CompressionLevel:
    """One way to run a site; level 0 of each site leaves it as it is.

    Args:
        label: What a reader sees, e.g. `4 heads`.
        cost: Measured, lower is better; costs of sites add up.
        divergence: How much worse the model gets with this level alone; below 0 where it gets
            better.
        moves: What makes the site so; nothing here looks inside.

    Raises:
        ConfigError: `cost` is negative, or a number is not finite.
    """

    label: str
    cost: float
    divergence: float
    moves: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cost) and self.cost >= 0):
            raise ConfigError(
                f"cost must be finite and at least 0, got {self.cost} for {self.label!r}"
            )
        if not math.isfinite(self.divergence):
            raise ConfigError(
                f"divergence must be finite, got {self.divergence} for {self.label!r}"
            )


Table = Sequence[Sequence[CompressionLevel]]
"""The levels of each site."""


def cost_of(assignment: Assignment, table: Table) -> float:
    """Sum the costs of what is chosen, rounded once, so that the order of sites cannot matter.

    Raises:
        ConfigError: The candidate does not fit the table.
    """
    return math.fsum(level.cost for level in _chosen(assignment, table))


def divergence_of(assignment: Assignment, table: Table) -> float:
    """Sum the divergences of what is chosen; true only as far as sites do not depend on each other.

    Raises:
        ConfigError: The candidate does not fit the table.
    """
    return math.fsum(level.divergence for level in _chosen(assignment, table))


def pareto(levels: Sequence[CompressionLevel]) -> list[int]:
    """Return the indices of the levels for which no other is both cheaper and less damaging.

    Returns:
        By rising cost, and so by falling divergence. Of equal ones the first.
    """
    kept: list[int] = []
    for index in sorted(range(len(levels)), key=lambda i: (levels[i].cost, levels[i].divergence)):
        if not kept or levels[index].divergence < levels[kept[-1]].divergence:
            kept.append(index)
    return kept


def check_table(table: Table) -> None:
    """Refuse a table in which nothing can be chosen, or whose level 0 is not the site as it is.

    Raises:
        ConfigError: There is no site, a site has no level, or a level 0 has a divergence.
    """
    if not table:
        raise ConfigError("table must hold at least one site, got none")
    for site, levels in enumerate(table):
        if not levels:
            raise ConfigError(f"each site must have at least one level, got none at site {site}")
        if levels[0].divergence != 0:
            raise ConfigError(
                "level 0 must leave its site as it is, at divergence 0, "
                f"got {levels[0].divergence} at site {site}"
            )


def _chosen(assignment: Assignment, table: Table) -> list[CompressionLevel]:
    if len(assignment) != len(table):
        raise ConfigError(
            f"candidate must choose one level for each of {len(table)} sites, got {len(assignment)}"
        )
    for site, (index, levels) in enumerate(zip(assignment, table, strict=True)):
        if not 0 <= index < len(levels):
            raise ConfigError(
                f"candidate must choose among {len(levels)} levels at site {site}, got {index}"
            )
    return [levels[index] for index, levels in zip(assignment, table, strict=True)]
