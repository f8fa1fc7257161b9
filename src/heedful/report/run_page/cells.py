"""Weights as cells that a style sheet shades: no colour stands in the page itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from heedful.report.alignment import shown_line

STEPS = 10  # of shade; `page.css` has a class for each
DARKEST = 0.8  # of the light that is taken where an image does not count
AGAINST = (217, 119, 43)


def steps(weights: NDArray[np.float64]) -> list[str]:
    """Return a class for each weight: `f0` to `f10` for, `a1` to `a10` against.

    The step grows with the square root, the largest size being 10.
    """
    sizes = strength(weights)
    return [
        f"{'a' if weight < 0 and step else 'f'}{step}"
        for weight, step in zip(weights.tolist(), np.rint(STEPS * sizes).astype(int), strict=True)
    ]


def strength(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return square roots of sizes, of which the largest is 1; what is no number is 0."""
    sizes = np.abs(np.nan_to_num(weights))
    return np.sqrt(sizes / max(float(sizes.max(initial=0.0)), np.finfo(float).tiny))


def shaded(pieces: Sequence[str], weights: NDArray[np.float64]) -> list[dict[str, str]]:
    """Return pieces with their shades and numbers, in order."""
    classes = steps(weights)
    return [
        {"text": _named(piece), "shade": shade, "number": f"{weight:+.3g}"}
        for piece, shade, weight in zip(pieces, classes, weights.tolist(), strict=True)
    ]


def _named(piece: str) -> str:
    """A piece in a line; one that is only spaces, or nothing, is seen too."""
    return shown_line(piece) if piece.strip(" ") else "␣" * len(piece) or "∅"


def table(rows: Sequence[str], columns: Sequence[str], weights: Any) -> dict[str, Any]:
    """Return a map as a table of shades, each row by its own largest.

    Strong cells have numbers: per cent of the sizes of their row.
    """
    lines: list[dict[str, Any]] = []
    for name, row in zip(rows, np.asarray(weights, float), strict=True):
        sizes = np.abs(row)
        shares = row / max(float(sizes.sum()), np.finfo(float).tiny)
        strong = sizes >= 0.5 * sizes.max(initial=0.0)
        cells = [
            {
                "shade": shade,
                "number": f"{100 * share:.0f}" if near and abs(share) >= 0.005 else "",
                "exact": f"{value:+.3g}",
            }
            for shade, value, share, near in zip(
                steps(row), row.tolist(), shares.tolist(), strong.tolist(), strict=True
            )
        ]
        lines.append({"name": _named(name), "cells": cells})
    names = [_named(name) for name in columns]
    return {"columns": names, "rows": lines, "upright": max(map(cell_len, names)) <= 3}


def veil(weights: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return what is laid over an image: dark where little counts, orange where it counts against.

    Args:
        weights: `(rows, columns)`.
    """
    sizes = strength(weights)
    light = np.zeros((*weights.shape, 4), np.uint8)
    light[..., 3] = np.rint(255 * DARKEST * (1 - sizes))
    against = (weights < 0) & (sizes > 0.1)
    light[against, :3] = AGAINST
    light[against, 3] = np.rint(255 * DARKEST * sizes[against])
    return light
