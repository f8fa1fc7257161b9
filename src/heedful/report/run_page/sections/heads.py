"""The atlas of heads: a map each, those that went crossed out, and all of them in numbers."""

import json
import math
from typing import Any

from heedful.report.alignment import shown_line
from heedful.report.png import data_uri
from heedful.report.run_page.charts import entropy_chart
from heedful.report.run_page.data import Head, PageData, Tile
from heedful.report.run_page.words import Words


def view(data: PageData, words: Words) -> dict[str, Any] | None:
    """Return the sites with their heads, and the rows of the table; `None` without attention."""
    atlas = data.atlas
    if not atlas.heads and not atlas.unobservable:
        return None
    sites: dict[str, list[dict[str, Any]]] = {}
    for head in atlas.heads:
        sites.setdefault(head.site, []).append(_head(head, words))
    tokens = {
        site: [[shown_line(name) for name in axis] for axis in axes]
        for site, axes in atlas.tokens.items()
        if site in sites
    }
    return {
        "sites": sites,
        "tokens": json.dumps(tokens, ensure_ascii=False),
        "title": atlas.title,
        "examples": atlas.examples,
        "error": "" if atlas.error is None else f"{atlas.error:.2g}",
        "chart": entropy_chart(atlas, words) if atlas.heads else "",
        "compared": any(head.after is not None or head.removed for head in atlas.heads),
        "unobservable": {name: words.reason(why) for name, why in atlas.unobservable.items()},
    }


def _head(head: Head, words: Words) -> dict[str, Any]:
    name = f"{head.site} · {head.number}"
    label = words("head label", name=name, entropy=_number(head.before.entropy, 2))
    return {
        "name": name,
        "number": head.number,
        "label": f"{label}{', ' + words('removed') if head.removed else ''}",
        "removed": head.removed,
        "entropy": _number(head.before.entropy, 2),
        "sink": words(f"sink {head.before.sink}") if head.before.sink else "",
        "before": _tile(head.tile),
        "after": None if head.tile_after is None else _tile(head.tile_after),
        "row": _row(head, words),
    }


def _tile(tile: Tile) -> dict[str, Any]:
    # black on white; a page in the dark turns it round
    return {
        "source": data_uri(255 - tile.cells[..., None]),
        "largest": tile.largest,
        "rows": tile.queries,
        "columns": tile.keys,  # `keys` would be the method of the mapping
    }


def _row(head: Head, words: Words) -> list[str]:
    after = head.after
    importance = "–" if head.importance is None else f"{head.importance:.2g}"
    both = [
        _pair(getattr(head.before, name), None if after is None else getattr(after, name), places)
        for name, places in (("entropy", 2), ("keys", 1), ("first", 2), ("distance", 1))
    ]
    sink = words(f"sink {head.before.sink}") if head.before.sink else "–"
    state = words("removed") if head.removed else ""
    return [*both, _sharpness(head), sink, importance, state]


def _sharpness(head: Head) -> str:
    """The largest weights among n, 2n and 4n keys."""
    if not head.before.sharpness or not math.isfinite(head.before.sharpness[0]):
        return "–"
    return " · ".join(_number(top, 2) for top in head.before.sharpness)


def _pair(before: float, after: float | None, places: int) -> str:
    first = _number(before, places)
    if after is None or (not math.isfinite(before) and not math.isfinite(after)):
        return first
    return f"{first} → {_number(after, places)}"


def _number(value: float, places: int) -> str:
    return f"{value:.{places}f}" if math.isfinite(value) else "–"
