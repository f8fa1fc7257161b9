import re

from tests.report.run_page.made import atlas, page_data

from heedful.report.run_page.charts import curve_chart, entropy_chart, search_chart, watched_chart
from heedful.report.run_page.data import Curve, Search, Trial
from heedful.report.run_page.words import Words

WORDS = Words("en")


def marks(svg, kind):
    """How many marks each layer of a kind has."""
    groups = re.split(r'class="mark-', svg)
    return [g.count("aria-label=") for g in groups if g.startswith(f"{kind} role-mark")]


def test_a_dot_for_each_candidate_that_was_measured_and_a_ring_for_the_chosen():
    svg = search_chart(page_data().search, WORDS)
    assert marks(svg, "symbol") == [1, 4]
    assert "fine-tuned 1" in svg
    assert "too much lost" in svg


def test_a_search_without_a_choice_has_no_ring():
    trials = tuple(
        Trial(number=n, cost_share=1 - n / 4, difference=-n, bound=None, kept=False)
        for n in range(3)
    )
    svg = search_chart(Search(metric="bleu", allowed=-0.5, trials=trials), WORDS)
    assert sum(marks(svg, "symbol")) == 3


def test_heads_have_a_dot_before_and_one_after_where_they_stay():
    assert marks(entropy_chart(atlas(2, 3), WORDS), "symbol") == [2 * (3 + 2)]


def test_a_long_curve_is_thinned():
    curve = Curve(name="loss", points=tuple((step, step / 7) for step in range(1, 100_000)))
    assert len(curve_chart(curve, WORDS)) < 40_000


def test_every_watched_head_has_a_line():
    svg = watched_chart(page_data().watched, WORDS)
    assert marks(svg, "line") == [1, 1]


def test_charts_bring_no_style_of_their_own():
    svg = search_chart(page_data().search, WORDS)
    assert "style=" not in svg
    assert "<style" not in svg
    assert "href" not in svg
