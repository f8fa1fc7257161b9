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


def options(page):
    """The options that a page names in code, but for those of other programs."""
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if line.split()[0].split("/")[-1] not in OTHERS:
            yield from re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)


OTHERS = ("torchrun", "make", "pip", "curl", "python", "ct2-transformers-converter")
FLOWERS = {"--node-config"}  # of its own commands, in docs/federated.md


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_that_pages_name_are_there(page):
    group = typer.main.get_command(app)
    known = {opt for command in group.commands.values() for p in command.params for opt in p.opts}
    assert set(options(page)) - known - FLOWERS - {"--help", "--version"} == set()


def test_an_option_that_is_none_is_found(tmp_path):
    (tmp_path / "page.md").write_text("`heedful tune --gaol x` or `--goal`, ```\n--no\n``` `a--b`")
    assert list(options(tmp_path / "page.md")) == ["--gaol", "--goal"]
