"""`make docs`: pages that are whole, load nothing from elsewhere, and explain every public name."""

import ast
import html
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import heedful

pytest.importorskip("pdoc", reason="pdoc makes the reference")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PACKAGE = Path(heedful.__file__).parent
SCRIPT = ROOT / "docs" / "build_site.py"

# what a browser fetches by itself, unlike a link that somebody follows
LOADS = re.compile(
    r"<(?:script|img|link|iframe|source|embed|object)\b[^>]*?\b(?:src|href|data)=[\"']?([^\"'\s>]+)"
    r"|@import\s+(?:url\()?[\"']?([^\"')\s]+)"
    r"|url\([\"']?([^\"')\s]+)",
    re.IGNORECASE,
)
LINK = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"")
CODE = re.compile(r"<(pre|code)\b.*?</\1>", re.DOTALL)
SCRIPTS = re.compile(r"<script\b.*?</script>", re.DOTALL)


def build(folder, script=SCRIPT):
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(script), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        if path.suffix == ".html"
        else ""
        for path in folder.rglob("*")
        if path.is_file()
    }


def public():
    """The lists of names, by the package that has them."""
    for path in sorted(PACKAGE.rglob("__init__.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                module = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
                yield module, ast.literal_eval(node.value)


def unexplained(pages, lists):
    """Public names that have no place on the page of their package."""
    missing = []
    for module, names in lists:
        page = pages.get(f"api/{module.replace('.', '/')}.html", "")
        missing += [f"{module}.{name}" for name in names if f'id="{name}"' not in page]
    return missing


def loaded(pages):
    """What pages load from elsewhere; pictures that stand in the page itself are fine."""
    return [
        address
        for text in pages.values()
        for found in LOADS.findall(CODE.sub("", text))
        for address in found
        if re.match(r"(https?:)?//", address)
    ]


def broken(pages):
    """Links that lead to no page, or to no place on it."""
    found = []
    for name, text in pages.items():
        for address in map(html.unescape, LINK.findall(SCRIPTS.sub("", text))):
            if re.match(r"\w+:", address):
                continue
            path, _, place = address.partition("#")
            there = os.path.normpath(Path(name).parent / unquote(path)) if path else name
            if there not in pages or (place and f'id="{unquote(place)}"' not in pages[there]):
                found.append(f"{name} links to {address}")
    return found


def test_every_public_name_has_its_place(site):
    lists = list(public())
    assert len(lists) >= 10
    assert unexplained(site, lists) == []
    assert 'id="ConfigError"' in site["api/heedful/errors.html"]


def test_every_essay_has_a_page(site):
    essays = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert len(essays) >= 4
    assert {f"{name}.html" for name in essays} <= site.keys()
    assert all(f'href="{name}.html"' in site["index.html"] for name in [*essays, "reference"])


def test_no_page_loads_anything_from_elsewhere(site):
    assert loaded(site) == []


def test_links_lead_somewhere(site):
    assert broken(site) == []


def test_chinese_pages_say_so_and_link_to_each_other(site):
    chinese = {name for name in site if name.startswith("zh_")}
    assert chinese == {f"zh_{path.stem}.html" for path in (ROOT / "docs" / "zh").glob("*.md")}
    assert len(chinese) == 4
    assert {name for name, text in site.items() if '<html lang="zh">' in text} == chinese
    for name in chinese - {"zh_start.html"}:
        assert f'href="{name}"' in site["zh_start.html"].partition("<main")[2]


def test_there_is_a_search_and_no_doc_of_another_library(site):
    assert "api/search.js" in site
    assert not [name for name, text in site.items() if "ScriptModule" in text]


# ---- planted faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<style>@import "https://example.org/a.css";</style>',
        "<style>a { background: url(https://example.org/a.png) }</style>",
        '<img alt="x" src="http://example.org/a.png">',
    ],
)
def test_what_is_loaded_is_found(text):
    assert len(loaded({"a.html": text})) == 1
    assert loaded({"a.html": f"<pre>{text}</pre>"}) == []


@pytest.mark.parametrize("address", ["b.html", "a.html#there", "#there", "../a.html"])
def test_a_broken_link_is_found(address):
    assert len(broken({"a.html": f'<p id="here"><a href="{address}">x</a>'})) == 1
    assert broken({"a.html": '<p id="here"><a href="#here">x</a><a href="https://x.org">'}) == []


def test_a_name_without_a_place_is_found():
    pages = {"api/heedful/ops.html": '<section id="dot">'}
    assert unexplained(pages, [("heedful.ops", ["dot", "linear"])]) == ["heedful.ops.linear"]


def test_a_warning_stops_the_build(tmp_path):
    script = tmp_path / "docs" / SCRIPT.name
    script.parent.mkdir()
    text = SCRIPT.read_text(encoding="utf-8")
    assert "    files = essays()\n" in text
    text = text.replace(
        "    files = essays()\n", '    warnings.warn("a name is unknown")\n    files = essays()\n'
    )
    script.write_text(text, encoding="utf-8")
    done = build(tmp_path / "site", script)
    assert done.returncode == 1
    assert "UserWarning: a name is unknown" in done.stderr


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "mine.txt").touch()
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path)])
    main = runpy.run_path(str(SCRIPT))["main"]
    message = f"FOLDER must be new, empty or an earlier site, got {tmp_path}"
    with pytest.raises(SystemExit, match=re.escape(message)):
        main()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    with pytest.raises(SystemExit, match="usage: python docs"):
        main()
