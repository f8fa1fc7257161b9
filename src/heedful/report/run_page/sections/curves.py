"""The training: its loss and its dev scores, step by step."""

from typing import Any

from heedful.report.run_page.charts import curve_chart, watched_chart
from heedful.report.run_page.data import PageData
from heedful.report.run_page.words import Words

MOST_ROWS = 12


def view(data: PageData, words: Words) -> dict[str, Any] | None:
    """Return charts of what was logged, with short tables; `None` where nothing was."""
    if not (data.curves or data.watched):
        return None
    return {
        "curves": [
            {
                "name": words.named(curve.name),
                "chart": curve_chart(curve, words),
                "rows": [
                    (f"{step:,}", f"{value:.4g}")
                    for step, value in curve.points[:: -(-len(curve.points) // MOST_ROWS)]
                ],
            }
            for curve in data.curves
        ],
        "watched": watched_chart(data.watched, words) if data.watched else "",
        "alarms": list(data.alarms),
    }
