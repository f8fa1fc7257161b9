"""Every built-in task has a page, which `docs/tasks.md` and the README lead to."""

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
