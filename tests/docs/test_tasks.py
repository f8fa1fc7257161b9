"""Every built-in task has a page, which `docs/tasks.md` and the README lead to."""

import re
from pathlib import Path

import pytest

from heedful.tasks.catalog import BUILT_IN

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("task", BUILT_IN)
def test_every_task_has_a_page(task):
    page = (ROOT / "docs" / "tasks" / f"{task}.md").read_text(encoding="utf-8")
    assert f"heedful new {task} -o " in page
    assert page.count("\n") <= 100
    listed = {"docs/tasks.md": f"(tasks/{task}.md)", "README.md": f"(docs/tasks/{task}.md)"}
    for file, link in listed.items():
        assert link in (ROOT / file).read_text(encoding="utf-8"), file


def test_every_page_is_of_a_task():
    pages = {path.stem for path in (ROOT / "docs" / "tasks").glob("*.md")}
    assert pages == BUILT_IN.keys()


def intervals(text):
    """Scores with an interval: `97.7 (96.7 to 98.6)`, or in two columns of a table."""
    number = r"(-?\d[\d,]*(?:\.\d+)?)"
    shapes = (
        rf"\*{{0,2}}{number}\*{{0,2}}(?: %)? [(\[]{number}(?: to |, ){number}[)\]]",
        rf"{number}\*{{0,2}} \| {number} to {number}",
    )
    flat = re.sub(r"\s+", " ", text)
    return [found for shape in shapes for found in re.findall(shape, flat)]


def same(shown, measured):
    """Is each number the measured one, rounded?"""
    pairs = [
        (one.replace(",", ""), float(two.replace(",", "")))
        for one, two in zip(shown, measured, strict=True)
    ]
    return all(
        abs(float(one) - two) <= 0.5001 * 10.0 ** -len(one.partition(".")[2]) for one, two in pairs
    )


def test_intervals_are_found_and_compared_as_they_are_rounded():
    assert intervals("**97.7** (96.7 to\n98.6), 0.2 [0.1, 0.3] | 5.61 | 4 to 6.2 |") == [
        ("97.7", "96.7", "98.6"),
        ("0.2", "0.1", "0.3"),
        ("5.61", "4", "6.2"),
    ]
    assert same(("97.7", "96.7", "99"), ("97.74", "96.65", "98.6"))
    assert not same(("97.7", "96.7", "99"), ("97.76", "96.7", "99"))


@pytest.mark.parametrize("task", BUILT_IN)
def test_every_interval_of_a_page_was_measured(task):
    results = (ROOT / "benchmarks" / "results").glob("*.md")
    measured = {each for path in results for each in intervals(path.read_text(encoding="utf-8"))}
    page = (ROOT / "docs" / "tasks" / f"{task}.md").read_text(encoding="utf-8")
    shown = intervals(page)
    assert [each for each in shown if not any(same(each, other) for other in measured)] == []
