"""The search: cost against quality, and its table."""

from typing import Any

from heedful.report.run_page.charts import search_chart, trial_name
from heedful.report.run_page.data import PageData, Trial
from heedful.report.run_page.words import Words


def view(data: PageData, words: Words) -> dict[str, Any] | None:
    """Return the chart and the rows of its table; `None` where nothing was searched."""
    search = data.search
    if search is None:
        return None
    drawn = [trial for trial in search.trials if trial.difference is not None]
    return {
        "chart": search_chart(search, words) if len(drawn) > 1 else "",
        "rows": [_row(trial, words) for trial in search.trials],
        "reason": "" if data.judgement is None else data.judgement.reason,
        "allowed": f"{search.allowed:+.3g}",
        "metric": words.named(search.metric),
    }


def _row(trial: Trial, words: Words) -> dict[str, Any]:
    state = "original" if not trial.number else "kept" if trial.kept else "missed"
    return {
        "name": trial_name(trial, words),
        "cost": f"{trial.cost_share:.0%}",
        "difference": "–"
        if trial.difference is None or not trial.number
        else f"{trial.difference:+.3g}",
        "bound": "–" if trial.bound is None else f"{trial.bound:+.3g}",
        "state": words("chosen") if trial.chosen else words(state),
        "chosen": trial.chosen,
        "drawn": trial.difference is not None,
    }
