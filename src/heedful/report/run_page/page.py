"""The page of a run: sections, put together into one file that loads nothing and asks nobody."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heedful.errors import MissingExtraError
from heedful.report._page import FONT, libraries
from heedful.report.run_page.data import PageData
from heedful.report.run_page.names import TASKS
from heedful.report.run_page.sections import costs, curves, examples, heads, method, search, summary
from heedful.report.run_page.words import Words

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (summary, search, costs, heads, examples, curves, method)  # in the order of the page


def render(data: PageData, *, language: str = "en") -> bytes:
    """Return the page of a run.

    Charts and maps are pictures within it, so nothing is drawn when it opens.

    Args:
        data: What it shows.
        language: `en` or `zh`.

    Raises:
        ConfigError: There is no such language.
        MissingExtraError: The extra `report` is not installed.
    """
    words = Words(language, task=data.task)
    runs = [run for run in (data.run, data.smaller) if run]
    templates = environment()
    parts: list[str] = []
    for section in SECTIONS:
        view = section.view(data, words)
        if view is not None:
            name = section.__name__.rpartition(".")[2]
            template = templates.get_template(f"{name}.html")
            parts.append(template.render(words=words, **view))
    task = words.named(data.task, TASKS)
    title = f"{task}: {' → '.join(Path(run).name for run in runs)}"
    return whole(parts, words, task=task, title=title, heading=runs, date=data.date)


def whole(
    parts: Sequence[str],
    words: Words,
    *,
    task: str,
    title: str,
    heading: Sequence[str],
    date: str = "",
) -> bytes:
    """Put sections together.

    The page runs its own short script and style alone, known by their hashes, and reads well
    without.

    Args:
        parts: The sections, HTML.
        words: Of the page.
        task: What is done, above the heading.
        title: Of the window.
        heading: What the page is of: one thing, or one and what became of it.
        date: When it was made; empty where nobody asks.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8").replace("FONT", FONT)
    program = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    page: str = (
        environment()
        .get_template("page.html")
        .render(
            words=words,
            task=task,
            title=title,
            heading=heading,
            date=date,
            style=safe(style),
            program=safe(program),
            hashes={"style": hash_of(style), "script": hash_of(program)},
            parts=[safe(part) for part in parts],
        )
    )
    return page.encode()


def check_installed() -> None:
    """Say early, before anything is computed, that a page cannot be written.

    Raises:
        MissingExtraError: The extra `report` is not installed.
    """
    libraries()
    environment()


def environment(*folders: Path) -> Any:
    """Return what fills in the templates of pages.

    Args:
        folders: Of more templates.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError(
            "a page needs jinja2, got an installation without it. "
            "Install it with: pip install 'heedful[report]'"
        ) from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, *folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def safe(text: str) -> Any:
    """Return HTML as such: it is ours, and escaped where it has to be."""
    from markupsafe import Markup

    return Markup(text)


def hash_of(text: str) -> str:
    """Return by what a strict page knows a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
