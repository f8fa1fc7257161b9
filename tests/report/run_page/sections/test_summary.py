"""What the page says first of explanations: the share of those that there are."""

import pytest
from tests.report.run_page.made import examples, explanation, page_data

from heedful.report.run_page.data import Shown
from heedful.report.run_page.sections.summary import view
from heedful.report.run_page.words import Words

GOOD = Shown(asked={}, answer="a", explanation=explanation())
NONE = Shown(asked={}, answer="b", reason="It has no question.")


@pytest.mark.parametrize(
    "shown, state, english, chinese",
    [
        ((GOOD,), "good", "Explanations verified: 1 of 1", "解释通过检验：1 个中 1 个"),
        (
            (GOOD, NONE, NONE),
            "good",
            "Explanations verified: 1 of 1 (2 not explainable)",
            "解释通过检验：1 个中 1 个（2 个无法解释）",
        ),
        (
            (NONE,),
            "open",
            "Explanations not tested (1 not explainable)",
            "解释未经检验（1 个无法解释）",
        ),
        ((), "open", "Explanations not tested", "解释未经检验"),
    ],
)
def test_the_badge_counts_those_that_cannot_be_explained_apart(shown, state, english, chinese):
    for language, text in (("en", english), ("zh", chinese)):
        badge = view(page_data(shown=shown), Words(language))["badges"][2]
        assert (badge["state"], badge["text"]) == (state, text)


def test_a_map_that_fails_is_marked():
    badge = view(page_data(shown=examples()), Words("en"))["badges"][2]
    assert badge["state"] == "bad"
