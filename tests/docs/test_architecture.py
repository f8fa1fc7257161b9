"""`docs/architecture.md` shows the files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "heedful"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def drawn(text: str) -> set[str]:
    """The files of the tree, by their path below the package; each line says what one is.

    A folder in a folder has one line for all its files.
    """
    tree = re.search(r"^src/heedful/\n(.*?)^tests/", text, re.MULTILINE | re.DOTALL)
    files: set[str] = set()
    folder = ""
    for line in (tree[1] if tree else "").splitlines():
        entry = re.fullmatch(r"(  |    )(\w+/|\w+\.py) +\w.*", line)
        assert entry, line
        indent, name = entry.groups()
        folder = "" if indent == "  " else folder
        if name.endswith("/") and indent == "  ":
            folder = name
        else:
            assert folder + name not in files
            files.add(folder + name)
    return files


def test_tree_is_complete():
    there: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        if len(parts) > 2:
            there.add(f"{parts[0]}/{parts[1]}/")
        elif len(parts) == 1 or path.name != "__init__.py":
            there.add("/".join(parts))
    assert drawn(ARCHITECTURE) == there


@pytest.mark.parametrize("line", ["    dot.py  ", "    dot.py               query . key\n" * 2])
def test_a_line_without_words_or_drawn_twice_is_found(line):
    with pytest.raises(AssertionError):
        drawn(f"src/heedful/\n  ops/                 functions\n{line}\ntests/\n")


def test_links_lead_somewhere():
    for page in (*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
