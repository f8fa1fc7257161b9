"""The comparison of all mechanisms as one offline page: where each pays, and where plain wins."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heedful.files import write_bytes
from heedful.report._page import FONT, libraries, page

Cells = list[dict[str, Any]]
PLAIN = "scaled_dot"
NEVER = "never"

_BODY = """\
<p>{others} mechanisms against plain scaled dot-product attention (torch's fused kernel), measured
in turns in one process: {what}. {hardware}. {date}.</p>
<p>A factor above 1 is faster than plain attention, or takes less memory. <b>{losers} of {others}
are slower than plain attention at every length here</b>, forward and backward; they are there for
what they compute, not for speed. An error says how far the output is from that of plain attention,
relative to its size, for those that set out to approximate it; random texts in which every query
looks for one key, half of them far away, are hard on those that look nearby only.</p>
<h2>Where each pays</h2>
<div class="wide">{summary}</div>
<h2>Speed, forward</h2><div id="forward" class="chart"></div>
<h2>Speed, forward and backward</h2><div id="both" class="chart"></div>
<h2>Memory, forward and backward</h2><div id="memory" class="chart"></div>
<h2>Error against speed at {longest}</h2><div id="error" class="chart"></div>
<noscript><p>The pictures need JavaScript; the tables do not.</p></noscript>
<h2>Settings</h2>
<p>{settings}</p>
<h2>All numbers</h2>
<details><summary>One row for each mechanism and length</summary><div class="wide">{numbers}</div>
</details>
"""


def write_mechanisms(comparison: dict[str, Any], path: Path, *, command: str) -> None:
    """Write the page, whole or not at all.

    Args:
        comparison: `heedful.bench.mechanisms.Comparison` as plain data.
        path: The file; an old one is replaced.
        command: What made it, word for word; stands in the page.

    Raises:
        MissingExtraError: The extra `report` is not installed.
        RunError: The file cannot be written.
    """
    cells, longest = comparison["cells"], comparison["lengths"][-1]
    factors = with_factors(cells)
    charts = {
        "forward": heat_map(factors, "forward", "times as fast"),
        "both": heat_map(factors, "both", "times as fast"),
        "memory": heat_map(factors, "memory", "times less memory"),
        "error": scatter([cell for cell in factors if cell["length"] == longest]),
    }
    size, where = comparison["size"], comparison["environment"]
    rows = summary(factors)
    body = _BODY.format(
        others=len(rows) - 1,
        what=f"batch {size['batch']}, {size['heads']} heads of {size['dim']}, float32",
        hardware=html.escape(
            f"{where['processor']}, {where['threads']} threads, "
            + ", ".join(f"{name} {number}" for name, number in where["versions"].items())
        ),
        date=where["date"],
        losers=losers(rows),
        longest=f"{longest:,}",
        summary=_table(rows),
        settings=html.escape(_settings(comparison["settings"])),
        numbers=_table([_numbers(cell) for cell in cells]),
    )
    title = "Attention mechanisms side by side"
    write_bytes(path, page(title, body, charts, command=command))


def with_factors(cells: Cells) -> Cells:
    """The cells with three factors against plain attention: forward, both and memory."""
    plain = {cell["length"]: cell for cell in cells if cell["mechanism"] == PLAIN}

    def memory(cell: dict[str, Any]) -> float | None:
        base = plain.get(cell["length"], {}).get("both_mib")
        return base / cell["both_mib"] if base and cell["both_mib"] else None

    return [
        {
            **cell,
            "forward": cell["forward_ratio"] and cell["forward_ratio"]["median"],
            "both": cell["both_ratio"] and cell["both_ratio"]["median"],
            "memory": memory(cell),
        }
        for cell in cells
    ]


def summary(factors: Cells) -> list[dict[str, str]]:
    """For each mechanism: from which length on it is faster, and what it is at the longest."""
    rows: list[dict[str, str]] = []
    for name in _by_speed(factors):
        own = [cell for cell in factors if cell["mechanism"] == name]
        measured = [cell for cell in own if not cell["left_out"]]
        last = measured[-1] if measured else own[-1]
        row = {"mechanism": name, "forward from": _from(own, "forward")}
        row |= {"both from": _from(own, "both"), "longest": f"{last['length']:,}"}
        if name == PLAIN:
            row |= {"forward from": "–", "both from": "–"}
        for factor in ("forward", "both", "memory"):
            row[factor] = _show(last[factor], "{:.2f}x")
        rows.append(row | {"error": _show(last["error"], "{:.1%}")})
    return rows


def losers(rows: list[dict[str, str]]) -> int:
    """How many mechanisms are slower than plain attention at every length."""
    return sum(row["both from"] == NEVER for row in rows if row["mechanism"] != PLAIN)


def heat_map(factors: Cells, factor: str, title: str) -> dict[str, Any]:
    """Mechanisms by lengths; blue is better than plain attention, red is worse."""
    alt, _ = libraries()
    shown = [
        {"mechanism": cell["mechanism"], "length": str(cell["length"]), "factor": cell[factor]}
        | {"text": _show(cell[factor], "{:.2g}")}
        for cell in factors
        if cell[factor] is not None
    ]
    lengths = sorted({cell["length"] for cell in factors})
    scale = alt.Scale(
        type="log", domain=[1 / 16, 1, 16], range=["#b2182b", "#f7f7f7", "#2166ac"], clamp=True
    )
    base = alt.Chart(alt.Data(values=shown)).encode(
        x=alt.X("length:N", sort=[str(n) for n in lengths], axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mechanism:N", sort=_by_speed(factors), title=None),
    )
    colour = alt.Color("factor:Q", scale=scale, legend=alt.Legend(title=title))
    dark = "datum.factor > 6 || datum.factor < 1 / 6"
    text = alt.condition(dark, alt.value("white"), alt.value("#222"))
    picture = base.mark_rect(stroke="#ddd").encode(color=colour)
    picture += base.mark_text(fontSize=10).encode(text="text:N", color=text)
    sized = picture.properties(width=alt.Step(52), height=alt.Step(18))
    return sized.configure(font=FONT).configure_view(stroke=None).to_dict()


def scatter(factors: Cells) -> dict[str, Any]:
    """Error against speed, for those that approximate; the lower right is where to be."""
    alt, _ = libraries()
    shown = [
        {"mechanism": cell["mechanism"], "error": cell["error"], "factor": cell["both"]}
        for cell in factors
        if cell["error"] is not None
    ]
    base = alt.Chart(alt.Data(values=shown)).encode(
        x=alt.X(
            "factor:Q", scale=alt.Scale(type="log"), title="times as fast, forward and backward"
        ),
        y=alt.Y("error:Q", axis=alt.Axis(format="%"), title="distance to plain attention"),
    )
    points = base.mark_point(filled=True, size=60)
    names = base.mark_text(align="left", dx=7).encode(text="mechanism:N")
    picture = (points + names).properties(width=700, height=320)
    return picture.configure(font=FONT).to_dict()


def _by_speed(factors: Cells) -> list[str]:
    """Mechanisms, the fastest at the longest length first; those left out there come last."""
    last: dict[str, tuple[bool, float]] = {}
    for cell in sorted(factors, key=lambda cell: cell["length"]):
        if cell["both"] is not None:
            last[cell["mechanism"]] = (False, -cell["both"])
        else:
            _, speed = last.get(cell["mechanism"], (True, 0.0))
            last[cell["mechanism"]] = (True, speed)
    return sorted(last, key=lambda name: last[name])


def _from(cells: Cells, factor: str) -> str:
    """The shortest length from which on it is faster at all lengths that were measured."""
    measured = [cell for cell in cells if cell[factor] is not None]
    # beyond its own spread, or it is not faster but the same
    wins = [cell[f"{factor}_ratio"]["low"] > 1 for cell in measured]
    if not any(wins):
        return NEVER
    start = len(wins) - [*reversed(wins), False].index(False)
    return f"{measured[start]['length']:,}" if start < len(wins) else "short only"


def _numbers(cell: dict[str, Any]) -> dict[str, str]:
    row = {"mechanism": cell["mechanism"], "length": f"{cell['length']:,}"}
    for way in ("forward", "both"):
        row[f"{way} ms"] = _show(cell[f"{way}_ms"], "{:.3g}")
        row[f"{way} factor"] = _show(cell[f"{way}_ratio"], _spread)
        row[f"{way} MiB"] = _show(cell[f"{way}_mib"], "{:.1f}")
    row["error"] = _show(cell["error"], "{:.2%}")
    return row | {"left out": cell["left_out"]}


def _spread(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _show(value: Any, words: str | Callable[[Any], str]) -> str:
    if value is None:
        return "–"
    return words.format(value) if isinstance(words, str) else words(value)


def _settings(settings: dict[str, dict[str, Any]]) -> str:
    told = [
        f"{name}: {', '.join(f'{key} = {value}' for key, value in given.items())}"
        for name, given in settings.items()
    ]
    return "; ".join(told) or "Every mechanism with its defaults."


def _table(rows: list[dict[str, str]]) -> str:
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    lines = [f"<tr>{heads}</tr>"]
    for row in rows:
        first, *others = row.values()
        cells = "".join(f"<td>{html.escape(value)}</td>" for value in others)
        lines.append(f"<tr><th>{html.escape(first)}</th>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
