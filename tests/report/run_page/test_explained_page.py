"""The page of one explanation: badge, reason, all of the map, evidence, paths and the command."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.report.run_page.made import EVIL, explanation, verdict

pytest.importorskip("jinja2", reason="the extra report is not installed")

from heedful.report.run_page.explained_page import render_explanation

COMMAND = f"heedful explain runs/x --text '{EVIL}'"


def page_of(found, language="en", task=""):
    return render_explanation(found, command=COMMAND, task=task, language=language).decode()


def test_it_holds_all_that_is_known_and_nothing_that_runs():
    told = replace(explanation(), title=f"{EVIL} → b", warnings=("of it 3 are read",))
    page = page_of(told)
    for said in (
        "verified",
        "It was verified.",
        "p = ",
        "decoder.0 · 1",
        "of it 3 are read",
        "→ b",
    ):
        assert said in page
    assert EVIL not in page
    assert "heedful explain runs/x" in page
    assert page.count("<script") == 1


def test_a_map_without_a_test_has_its_badge():
    assert "not tested" in page_of(explanation(verdict=None))


def test_in_chinese_nothing_is_said_in_english():
    found = replace(
        explanation(),
        pieces=("甲", "乙"),
        targets=("丙",),
        weights=np.array([[0.2, -0.1]]),
        title="n6 → 丙: itself and its neighbours",
        verdict=replace(verdict(), cause="passed"),
        paths=(),
        removal="left out of the text",
        method="occlusion",
        score="log-odds",
    )
    page = page_of(found, "zh", "classify-node")
    body = re.sub(
        r"<(style|script|pre).*?</\1>|<[^>]*>", " ", page[page.index("<body") :], flags=re.S
    )
    assert set(re.findall("[A-Za-z]{2,}", body)) <= {"Ctrl"}


@pytest.mark.parametrize("targets, shown", [(9, 9), (140, 100)])
def test_every_image_is_shown_and_what_is_not_is_said(targets, shown):
    found = explanation(
        targets,
        weights=np.ones((targets, 4)),
        pieces=("a", "b", "c", "d"),
        shape=(2, 2),
        canvas=np.zeros((8, 8, 1), np.uint8),
        paths=(),
    )
    page = page_of(found)
    assert page.count('class="veil"') == shown
    assert ("40 further maps are left out" in page) == (targets > shown)
