"""The charts of the page as SVG: drawn when it is written, coloured by its style sheet."""

from collections.abc import Sequence
from typing import Any

from heedful.report._page import FONT, libraries
from heedful.report.run_page.data import Atlas, Curve, Search, Trial
from heedful.report.run_page.watched import WatchedHead
from heedful.report.run_page.words import Words

# told apart by whoever is colour-blind, and light enough for dark pages: Okabe and Ito 2008
BLUE, ORANGE, GREY = "#3a8fd0", "#d9772b", "#8a8a8a"
WIDTH = 560
POINTS = 400  # of a curve; more cannot be told apart


def search_chart(search: Search, words: Words) -> str:
    """Cost against quality: a dot a candidate, the chosen one ringed, the budget a line."""
    alt, _ = libraries()
    rows = [
        {
            "cost": trial.cost_share,
            "difference": trial.difference,
            "bound": trial.difference if trial.bound is None else trial.bound,
            "state": words("original" if not trial.number else "kept" if trial.kept else "missed"),
            "chosen": trial.chosen,
            "name": trial_name(trial, words),
        }
        for trial in search.trials
        if trial.difference is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "cost:Q",
            title=words("cost share"),
            axis=alt.Axis(format="%"),
            scale=alt.Scale(zero=False, padding=18),
        )
    )
    y = alt.Y("difference:Q", title=words("difference of", metric=words.named(search.metric)))
    states = [words(name) for name in ("original", "kept", "missed")]
    colour = alt.Scale(domain=states, range=[GREY, BLUE, ORANGE])
    shape = alt.Scale(domain=states, range=["cross", "circle", "triangle-up"])
    whiskers = base.mark_rule(color=GREY).encode(y=y, y2="bound:Q")
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y=y,
        color=alt.Color("state:N", scale=colour, legend=alt.Legend(title=None, orient="bottom")),
        shape=alt.Shape("state:N", scale=shape),
    )
    rings = base.transform_filter("datum.chosen").mark_point(size=320, strokeWidth=2, color=BLUE)
    names = base.mark_text(align="left", dx=9, dy=-9, fontSize=11).encode(y=y, text="name:N")
    allowed = alt.Chart(alt.Data(values=[{"y": search.allowed}]))
    line = allowed.mark_rule(strokeDash=[5, 4], color=ORANGE).encode(y="y:Q")
    return _svg(line + whiskers + rings.encode(y=y) + dots + names, height=300)


def curve_chart(curve: Curve, words: Words) -> str:
    """One measurement against the steps of the training."""
    alt, _ = libraries()
    every = -(-len(curve.points) // POINTS)
    values = [{"step": step, "value": value} for step, value in curve.points[::every]]
    chart = alt.Chart(alt.Data(values=values)).mark_line(color=BLUE, point=len(values) < 40)
    chart = chart.encode(
        x=alt.X("step:Q", title=words("step"), axis=alt.Axis(format=",d", tickMinStep=1)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
    )
    return _svg(chart, width=WIDTH // 2 - 40, height=150)


def watched_chart(heads: Sequence[WatchedHead], words: Words) -> str:
    """How widely each head looked while it was learned: a line each, coloured by its site."""
    alt, _ = libraries()
    values = [
        {"step": step, "entropy": value, "site": head.site, "head": f"{head.site} {head.number}"}
        for head in heads
        for step, value in head.points[:: -(-len(head.points) // POINTS)]
    ]
    sites = list(dict.fromkeys(head.site for head in heads))
    chart = alt.Chart(alt.Data(values=values)).mark_line(opacity=0.7)
    chart = chart.encode(
        x=alt.X("step:Q", title=words("step"), axis=alt.Axis(format=",d", tickMinStep=1)),
        y=alt.Y("entropy:Q", title=words("entropy axis"), scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("site:N", sort=sites, title=None, legend=alt.Legend(labelLimit=260)),
        detail="head:N",
    )
    return _svg(chart, width=WIDTH - 320, height=220)


def entropy_chart(atlas: Atlas, words: Words) -> str:
    """How widely each head looks: before a ring, after a dot, and a line between the two."""
    alt, _ = libraries()
    before, after = words("before"), words("after")
    rows = [
        {"site": head.site, "entropy": look.entropy, "then": then, "head": head.number}
        for head in atlas.heads
        for look, then in ((head.before, before), (head.after, after))
        if look is not None and look.entropy == look.entropy
    ]
    sites = list(dict.fromkeys(head.site for head in atlas.heads))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("entropy:Q", title=words("entropy axis"), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("site:N", sort=sites, title=None, axis=alt.Axis(labelLimit=260)),
        yOffset="head:O",
    )
    compared = any(head.after is not None for head in atlas.heads)
    colour = alt.Scale(domain=[before, after], range=[GREY, BLUE])
    shape = alt.Scale(domain=[before, after], range=["circle", "diamond"])
    legend = alt.Legend(title=None, orient="bottom") if compared else None
    lines = base.mark_line(color=GREY, strokeWidth=1).encode(detail=["head:N", "site:N"])
    dots = base.mark_point(size=46, filled=True, opacity=1).encode(
        color=alt.Color("then:N", scale=colour, legend=legend),
        shape=alt.Shape("then:N", scale=shape, legend=legend),
    )
    heads = len({(head.site, head.number) for head in atlas.heads})
    return _svg(lines + dots, width=300, height=12 * heads + 16 * len(sites))


def trial_name(trial: Trial, words: Words) -> str:
    """Return what a candidate is called, in the chart and in its table."""
    if not trial.number:
        return words("original")
    return words("final", number=trial.number) if trial.final else str(trial.number)


def _svg(chart: Any, *, height: int, width: int = WIDTH) -> str:
    _, converter = libraries()
    sized = chart.properties(width=width, height=height, background="transparent")
    sized = sized.configure(font=FONT).configure_view(stroke=None)
    svg: str = converter.vegalite_to_svg(sized.to_dict())
    return svg
