import re
from dataclasses import replace
from typing import get_args

import numpy as np
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
        assert english["reason"] == chinese["reason"] == {"said": "It was verified.", "lang": "en"}
        assert not english["because"]
        return
    assert not english["reason"]
    assert re.search("[\u4e00-\u9fff]", chinese["because"])
    assert not re.search("[a-z]{2}", chinese["because"])
    assert re.findall(r"[\d.]*\d", chinese["because"]) == re.findall(
        r"[\d.]*\d", english["because"]
    )


def test_why_there_is_none_is_told_in_the_language_of_the_page():
    shown = Shown(
        asked={}, answer="a", reason="an answer must hold an item to be explained, got none"
    )
    view = example_view(shown, Words("zh"))
    assert view["reason"] == {"said": "没有推荐任何项目，无可解释", "lang": "zh-Hans"}
    with_map = example_view(replace(shown, explanation=explanation()), Words("zh"))
    assert with_map["note"] == view["reason"]
    assert example_view(replace(shown, reason=""), Words("zh"))["reason"] is None
    assert (view["word"], view["state"]) == ("无法解释", "open")
    assert example_view(shown, Words("en"))["word"] == "not explainable"
    assert example_view(replace(shown, reason=""), Words("en"))["word"] == "not tested"


def test_words_on_a_path_have_no_space_before_them():
    found = explanation(pieces=("the", " cat", " ", "猫"))
    (path,) = example_view(Shown(asked={}, answer="a", explanation=found), Words("en"))["paths"]
    assert path["way"] == "t0 ← decoder.0 · 1 ← cat"


def test_a_picture_stands_beside_what_is_laid_over_it():
    for shown in examples()[2], examples()[4]:
        given, *laid = example_view(shown, Words("en"))["images"]
        assert not given["veil"]
        assert given["name"] == "the whole picture"
        assert all(each["veil"] and each["base"] == given["base"] for each in laid)
        assert laid


def test_maps_beyond_the_first_are_said_to_be_left_out():
    canvas = np.zeros((8, 8, 1), np.uint8)
    values = {"weights": np.ones((9, 4)), "pieces": tuple("abcd")}
    found = explanation(9, **values, shape=(2, 2), canvas=canvas, paths=())
    view = example_view(Shown(asked={}, answer="a", explanation=found), Words("en"))
    assert len(view["images"]) == 1 + 4
    assert view["left_out"] == "5 further maps are left out."


def test_an_empty_answer_is_said_to_be_none():
    shown = Shown(asked={}, answer="", reason="It has no question.")
    assert example_view(shown, Words("en"))["answer"] == "nothing"
    assert example_view(shown, Words("zh"))["answer"] == "（空）"


def test_a_sound_says_its_times():
    values = {"weights": np.array([[0.1, -0.4, 0.2]]), "pieces": ("0.00 s", "0.08 s", "0.16 s")}
    canvas = np.zeros((4, 9, 1), np.uint8)
    found = explanation(**values, shape=(1, 3), canvas=canvas, paths=())
    shown = Shown(asked={}, answer="a", explanation=found)
    names = [each["name"] for each in example_view(shown, Words("en"))["images"]]
    assert names == [
        "the whole sound; its stretches begin at 0.00 s to 0.16 s",
        "t0 (most at 0.08 s)",
    ]
    names = [each["name"] for each in example_view(shown, Words("zh"))["images"]]
    assert names == ["整段声音；各片段始于 0.00 s 至 0.16 s", "t0 (0.08 s 处最重要)"]
