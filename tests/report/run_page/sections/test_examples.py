import re
from dataclasses import replace
from typing import get_args

import pytest
from tests.report.run_page.made import examples, explanation, verdict

from heedful.explaining.explanation import Cause
from heedful.report.run_page.data import Shown
from heedful.report.run_page.sections.examples import example_view
from heedful.report.run_page.words import Words


@pytest.mark.parametrize("cause", get_args(Cause))
def test_the_reason_is_told_in_the_language_of_the_page(cause):
    why = replace(verdict(), cause=cause, stretches=7)
    shown = Shown(asked={}, answer="a", explanation=explanation(verdict=why))
    english, chinese = (example_view(shown, Words(language)) for language in ("en", "zh"))
    if not cause:  # nobody knows it: as it was recorded
        assert english["reason"] == chinese["reason"] == "It was verified."
        assert not english["because"]
        return
    assert not english["reason"]
    assert re.search("[\u4e00-\u9fff]", chinese["because"])
    assert not re.search("[a-z]{2}", chinese["because"])
    assert re.findall(r"[\d.]*\d", chinese["because"]) == re.findall(
        r"[\d.]*\d", english["because"]
    )


def test_a_picture_stands_beside_what_is_laid_over_it():
    for shown in examples()[2], examples()[4]:
        given, *laid = example_view(shown, Words("en"))["images"]
        assert not given["veil"]
        assert given["name"] == "what was given"
        assert all(each["veil"] and each["base"] == given["base"] for each in laid)
        assert laid
