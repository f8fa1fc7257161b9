"""What statistics of attention mean, spelled out row by row."""

from collections.abc import Callable
from math import exp, log

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def attention_statistics(
    weights: Array,
    sees: Callable[[int, int, int, int], bool],
    position: Callable[[int], int],
    *,
    sinks: int = 4,
    top: int = 8,
    tau: float = 0.9,
) -> dict[str, Array]:
    """The mean over rows of every statistic, for each head; NaN where no row has it.

    Args:
        weights: `(batch, heads, queries, keys)`.
        sees: `sees(b, h, i, j)`.
        position: At which key query `i` stands.
        sinks: First keys.
        top: Largest weights.
        tau: Mass to cover.
    """
    batch, heads, queries, keys = weights.shape
    found: dict[str, list[list[float]]] = {}
    rows, empty = np.zeros(heads), np.zeros(heads)
    for b, h, i in np.ndindex(batch, heads, queries):
        visible = [j for j in range(keys) if sees(b, h, i, j)]
        total = sum(abs(float(weights[b, h, i, j])) for j in visible)
        if total == 0:
            empty[h] += 1
            continue
        rows[h] += 1
        row = {j: abs(float(weights[b, h, i, j])) / total for j in visible}
        for name, value in _of_row(row, position(i), sinks, top, tau).items():
            found.setdefault(name, [[] for _ in range(heads)])[h].append(value)
    means = {
        name: np.array([sum(x) / len(x) if x else np.nan for x in values])
        for name, values in found.items()
    }
    return {**means, "rows": rows, "empty_rows": empty}


def _of_row(row: dict[int, float], p: int, sinks: int, top: int, tau: float) -> dict[str, float]:
    values = list(row.values())
    n = len(values)
    entropy = 0.0
    for a in values:
        entropy -= a * log(a) if a > 0 else 0.0
    difference = sum(abs(a - b) for a in values for b in values)
    largest = sorted(values, reverse=True)
    coverage, mass = 0, 0.0
    while mass < tau and coverage < n:
        mass += largest[coverage]
        coverage += 1
    found = {
        "entropy": entropy,
        "effective_keys": exp(entropy),
        "participation": 1 / sum(a * a for a in values),
        "gini": difference / (2 * n),  # mean difference of all pairs, over twice the mean 1 / n
        "sink_mass": sum(a for j, a in row.items() if j < sinks),
        "top_mass": sum(largest[:top]),
        "distance": sum(a * abs(p - j) for j, a in row.items()),
        "coverage": float(coverage),
        "support": float(sum(a > 0 for a in values)),
    }
    return found | ({"normalised_entropy": entropy / log(n)} if n > 1 else {})
