"""Before and after: quality with its intervals, and what the work takes."""

from dataclasses import replace
from typing import Any

from heedful.report.run_page.data import Cost, Interval, PageData, Score
from heedful.report.run_page.words import Words


def view(data: PageData, words: Words) -> dict[str, Any] | None:
    """Return the rows of both tables; `None` where nothing was measured."""
    if not data.scores and not data.costs:
        return None
    judged = data.judgement
    if judged is not None and judged.after is None:  # no candidate that could be compared
        judged = None
        data = replace(data, costs=tuple(replace(cost, after=None) for cost in data.costs))
    return {
        "scores": [_score(score, words) for score in data.scores],
        "costs": [_cost(cost, words) for cost in data.costs],
        "scored": any(score.after is not None for score in data.scores),
        "compared": bool(data.smaller) or any(cost.after is not None for cost in data.costs),
        "split": words(f"split {data.split}"),
        "examples": f"{data.examples:,}",
        "judgement": judged,
    }


def _score(score: Score, words: Words) -> dict[str, str]:
    name = words.named(score.name)
    change = ""
    if score.after is not None:
        before, after = score.before, score.after
        change = f"{after.value - before.value:+.3g}"
        if after.low <= before.high and before.low <= after.high:
            change += f" ({words('intervals overlap')})"
    return {
        "name": name if score.higher_is_better else f"{name} ({words('lower is better')})",
        "before": _interval(score.before, score.unit),
        "after": "" if score.after is None else _interval(score.after, score.unit),
        "change": change,
    }


def _interval(found: Interval, unit: str) -> str:
    places = 1 if unit == "%" else 3
    value, low, high = (f"{number:.{places}f}" for number in found)
    return f"{value} {unit}".rstrip() + f" [{low}\u00a0–\u00a0{high}]"


def _cost(cost: Cost, words: Words) -> dict[str, str]:
    places = 1 if cost.name == "latency_ms" else 0
    change = ""
    if cost.after and cost.before:
        change = f"{cost.after / cost.before - 1:+.0%}"
    return {
        "name": words(cost.name),
        "before": f"{cost.before:,.{places}f}",
        "after": "" if cost.after is None else f"{cost.after:,.{places}f}",
        "change": change,
    }
