"""Measurements as a table for people, and what a sweep comes to."""

from collections.abc import Iterable, Sequence

from heedful.bench.attention.row import Measurement, Row

LEAST_SDPA_MS = 0.1  # milliseconds of SDPA from which a shape of the sweep counts
WORST = 8
DESCRIBE = ("dtype", "density", "mask", "pass", "threads")  # of the columns, no measurements


def columns(one: Measurement) -> dict[str, str]:
    """One line of a table, by the names of its columns; empty where there is no number."""
    row, (low, high) = one.row, one.spread
    limit = "of reading" if row.case == "decode" else "of matrix rate"
    return {
        "dtype": row.dtype,
        "shape": shape(row),
        "density": f"{row.density:.3g}",
        "mask": "causal" if row.causal else "",
        "pass": "both" if row.backward else "forward",
        "threads": str(row.threads),
        "ours, ms": f"{row.ours_ms:.4g} ({low:.4g} to {high:.4g})",
        "SDPA, ms": f"{row.sdpa_ms:.4g}",
        "flex, ms": "" if row.flex_ms is None else f"{row.flex_ms:.4g}",
        "faster than SDPA": "" if one.speedup is None else str(one.speedup),
        "error": _short(row.error),
        "SDPA's error": _short(row.sdpa_error),
        limit: "" if row.matrix_fraction is None else f"{100 * row.matrix_fraction:.0f} %",
        "of our dense": "" if one.of_dense is None else f"{one.of_dense.median:.3f}",
        "of ideal scaling": _percent(scaling_efficiency(one)),
    }


def without_empty(lines: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The lines without the columns that are empty in all of them."""
    names = [name for name in lines[0] if any(line[name] for line in lines)] if lines else []
    return [{name: line[name] for name in names} for line in lines]


def shared_values(name: str, lines: Sequence[dict[str, str]]) -> tuple[str, list[dict[str, str]]]:
    """A title that says what all lines agree on, and the lines without that, to be narrower."""
    alike = [
        column
        for column in lines[0]
        if column in DESCRIBE and len({line[column] for line in lines}) == 1
    ]
    words = [f"{column} {lines[0][column]}" for column in alike]
    rest = [{column: line[column] for column in line if column not in alike} for line in lines]
    return (f"{name}: {', '.join(words)}" if words else name), rest


def shape(row: Row) -> str:
    """Batch x heads x queries x keys x dim."""
    return " x ".join(map(str, (row.batch, row.heads, row.queries, row.keys, row.dim)))


def scaling_efficiency(one: Measurement) -> float | None:
    """How much of the time that hidden blocks would take is saved: 1 is all of it.

    A density of 1/4 should take a quarter of our own dense time; what it takes more is lost.
    """
    if one.of_dense is None or one.row.case != "sparse":
        return None
    return one.row.density / one.of_dense.median


def summary(measured: Iterable[Measurement]) -> list[str]:
    """What a sweep comes to, and which of its shapes are the worst; nothing for other cases."""
    rows = [one.row for one in measured if one.row.case == "sweep"]
    if not rows:
        return []
    counted = [row for row in rows if row.sdpa_ms >= LEAST_SDPA_MS]
    slower = [row for row in counted if (row.speedup or 0) < 1]
    lines = [
        f"sweep: {len(slower)} of {len(counted)} shapes for which SDPA takes at least "
        f"{1e3 * LEAST_SDPA_MS:.0f} us are slower than it; {len(rows)} were measured."
    ]
    for row in sorted(counted, key=lambda row: row.speedup or 0)[:WORST]:
        words = [row.dtype, shape(row), *(["causal"] if row.causal else [])]
        words += ["both passes"] if row.backward else []
        lines.append(f"{row.speedup:.2f}x of SDPA's {row.sdpa_ms:.3g} ms: {', '.join(words)}")
    return lines


def _short(error: float | None) -> str:
    return "" if error is None else f"{error:.1e}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
