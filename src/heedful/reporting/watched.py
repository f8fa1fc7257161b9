"""What a training that watched its heads saw of them: from its log to plain data of a page."""

from collections.abc import Iterable, Mapping
from typing import Any

from heedful.report.run_page.watched import WatchedHead

MOST_HEADS = 96  # that are drawn: lines beyond would hide each other


def watched_heads(lines: Iterable[Mapping[str, Any]]) -> tuple[WatchedHead, ...]:
    """Return the entropy of each head at each evaluation; heads seen but once have no curve."""
    found: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for line in lines:
        for head in line.get("heads", ()):
            if head["normalised_entropy"] is not None:
                points = found.setdefault((head["site"], head["head"]), [])
                points.append((int(line["step"]), float(head["normalised_entropy"])))
    curves = [
        WatchedHead(site=site, number=number, points=tuple(points))
        for (site, number), points in found.items()
        if len(points) > 1
    ]
    return tuple(curves[:MOST_HEADS])


def told_alarms(lines: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what a training warned of, each with its step."""
    return tuple(
        f"step {line['step']}: {alarm['site']} head {alarm['head']}: {alarm['text']}"
        + (f"; try {alarm['advice']}" if alarm["advice"] else "")
        for line in lines
        for alarm in line.get("alarms", ())
    )
