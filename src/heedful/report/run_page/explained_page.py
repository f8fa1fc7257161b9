"""The page of one explanation: what a report shows of an example, with all of its map."""

from heedful.explaining.explanation import Explanation
from heedful.report.alignment import shown_line
from heedful.report.run_page.data import Shown
from heedful.report.run_page.names import TASKS
from heedful.report.run_page.page import environment, whole
from heedful.report.run_page.sections.examples import Room, example_view
from heedful.report.run_page.words import Words

ALL = Room(rows=200, columns=600, images=100)  # no more than a browser draws in a moment


def render_explanation(
    explanation: Explanation, *, command: str, task: str = "", language: str = "en"
) -> bytes:
    """Return a page with the badge, the map, why the verdict came out so, and the paths.

    Args:
        explanation: What it shows.
        command: What makes the page, word for word.
        task: Its name; empty where there is none.
        language: `en` or `zh`.

    Raises:
        ConfigError: There is no such language.
        MissingExtraError: jinja2 is not installed.
    """
    words = Words(language, task=task)
    title = words("explained title")
    asked = Shown(asked={}, answer=shown_line(explanation.title), explanation=explanation)
    part = (
        environment()
        .get_template("explanation.html")
        .render(
            words=words,
            example=example_view(asked, words, room=ALL),
            warnings=explanation.warnings,
            command=command,
        )
    )
    return whole([part], words, task=words.named(task, TASKS), title=title, heading=[title])
