"""The live page: one asks, sees the answer, why, and whether that holds; it loads nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from heedful.explaining.methods import METHODS
from heedful.report._page import FONT
from heedful.report.run_page.data import Shown
from heedful.report.run_page.names import TASKS
from heedful.report.run_page.page import TEMPLATES, environment, hash_of, safe
from heedful.report.run_page.sections.examples import example_view
from heedful.report.run_page.words import Words
from heedful.serving.inputs import MEDIA, TEXTS
from heedful.serving.words import SAID, TABLE

HERE = Path(__file__).parent / "templates"


class Page:
    """The page of one run.

    Args:
        run: What it is called.
        task: What it does.
        takes: Kinds of inputs.
        examples: Held-out examples there are.

    Attributes:
        headers: Under which it is sent: it runs its own script and style alone, and asks nobody
            but its own server.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """

    def __init__(self, run: str, task: str, takes: tuple[str, ...], examples: int) -> None:
        self._about = {"run": run, "task": task, "takes": takes, "examples": examples}
        self._templates = environment(HERE)
        style = (TEMPLATES / "page.css").read_text(encoding="utf-8").replace("FONT", FONT)
        self._style = style + (HERE / "live.css").read_text(encoding="utf-8")
        self._program = (HERE / "live.js").read_text(encoding="utf-8")
        rules = {
            "default-src": "'none'",
            "script-src": f"'{hash_of(self._program)}'",
            "style-src": f"'{hash_of(self._style)}'",
            "img-src": "data:",
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        self.headers = {
            "Content-Security-Policy": "; ".join(" ".join(pair) for pair in rules.items()),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }

    def whole(self, language: str, address: str) -> str:
        """Return the page.

        Args:
            language: `en` or `zh`.
            address: Of the server, for the command that is shown.

        Raises:
            ConfigError: There is no such language.
        """
        words = Words(language, TABLE)
        takes: Any = self._about["takes"]
        return self._templates.get_template("live.html").render(
            **self._about | {"task": words.named(str(self._about["task"]), TASKS)},
            words=words,
            texts=TEXTS,
            accepted={kind: ",".join(_accepted(kind)) for kind in takes},
            methods=list(METHODS),
            command=command(takes, address),
            said={name: words(name) for name in SAID},
            style=safe(self._style),
            program=safe(self._program),
        )

    def answer(self, shown: Shown, language: str) -> str:
        """Return an answer with its explanation, as a part of the page.

        Raises:
            ConfigError: There is no such language.
        """
        words = Words(language, TABLE, task=str(self._about["task"]))
        looked = None
        if shown.explanation is not None and shown.picture is not None:
            looked = example_view(replace(shown, explanation=None, reason=""), words)
        return self._templates.get_template("answer.html").render(
            example=example_view(shown, words), looked=looked, words=words
        )


def command(takes: tuple[str, ...], address: str) -> str:
    """Return how a program asks, as one types it."""
    if takes[0] in TEXTS:
        body = "-H 'content-type: application/json' -d '{\"inputs\": [\"…\"]}'"
    else:
        [media, suffix] = next(iter(MEDIA[takes[0]].items()))
        body = f"-H 'content-type: {media}' --data-binary @file{suffix}"
    if len(takes) > 1:
        body = "-H 'content-type: application/json' -d @inputs.json"
    return f"curl {address}/predict {body}"


def _accepted(kind: str) -> list[str]:
    media = MEDIA[kind]
    return [*media, *dict.fromkeys(suffix for suffix in media.values() if suffix)]
