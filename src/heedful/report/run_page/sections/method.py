"""How all of it was measured, what it cannot say, and all that made it."""

from typing import Any

from heedful.report.run_page.data import PageData
from heedful.report.run_page.words import Words


def view(data: PageData, words: Words) -> dict[str, Any]:
    """Return the definitions, the limits, the config and the plan."""
    names = ["limit routing", "limit maps", "method scores"]
    if data.judgement is not None:
        names.append("method budget")
        if data.judgement.trained is None:
            names.append("limit baseline")
    if any(each.explanation is not None for each in data.shown):
        names.append("method verdict")
    return {
        "notes": [words(name) for name in names],
        "config": data.config,
        "plan": data.plan,
        "looks": 0 if data.judgement is None else data.judgement.looks,
    }
