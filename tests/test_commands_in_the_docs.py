"""Every command that README and docs show is one that `heedful` takes, in the order it stands."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from heedful.cli import VERBS, app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page):
    """The lines of shell blocks that call heedful; a line that ends in a backslash goes on."""
    for block in re.findall(
        r"```(?:sh|bash)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    ):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] in (["heedful"], [".venv/bin/heedful"]):
                yield words[1:]


def test_there_are_some():
    assert {words[0] for words in commands(PAGES[0])} == set(VERBS) - {"apply", "demo"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_can_be_typed(page):
    group = typer.main.get_command(app)
    for words in commands(page):
        group.commands[words[0]].make_context(words[0], list(words[1:]))  # raises what it refuses


def test_no_command_writes_where_another_did():
    page = ROOT / "README.md"
    written = ["runs/demo", "runs/demo-optimised"]  # by `make demo`
    for words in commands(page):
        for flag in ("-o", "--output"):
            if flag in words:
                written.append(words[words.index(flag) + 1])
        if words[0] == "optimize" and "-o" not in words:
            written.append(f"{words[1]}-optimised")
    written += re.findall(r'output="([^"]+)"', page.read_text(encoding="utf-8"))
    assert sorted(written) == sorted(set(written))
