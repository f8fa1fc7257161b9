"""Build the documentation as pages that need no network: `python docs/build_site.py FOLDER`.

The essays are the Markdown files of this repository; the reference is made from the docstrings. All
that is loaded lies in the folder, so the pages open from a disk as well as from a server.
"""

import importlib
import inspect
import pkgutil
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pdoc.doc
import pdoc.render
import pdoc.render_helpers
from torch import nn

import heedful

ROOT = Path(__file__).parents[1]
TEMPLATES = Path(__file__).parent / "templates"

# the essays in the order in which they are read; other files of docs/ come behind, tasks last
FIRST = (
    *("README.md", "docs/train_your_data.md", "docs/tasks.md", "docs/write_a_task.md"),
    *("docs/write_a_mechanism.md", "docs/write_a_move.md", "docs/mechanisms.md"),
)
CHINESE = tuple(
    f"docs/zh/{name}.md" for name in ("start", "train_your_data", "optimising", "explaining")
)
LAST = (*CHINESE, "docs/architecture.md", "CONTRIBUTING.md", "CHANGELOG.md")

# what is in the reference: packages that list their names, and what one imports to write a task of
# one's own or to test a mechanism; everything else is explained in its source
WRITERS = re.compile(r"heedful\.(config|data|errors|metrics|tasks|testing)(\.|$)")
SOURCES = re.compile(r"heedful\.testing\.(adapters\.|claims|oracle\.)")

PRIVATE = re.compile(r'<a href="[^"]*#_[^"]*">(.*?)</a>')  # links to what has no place on a page
LINK = re.compile(r"(!?)\[([^]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/build_site.py FOLDER")
    folder = Path(sys.argv[1])
    if folder.exists() and any(folder.iterdir()) and not (folder / "reference.html").exists():
        raise SystemExit(f"FOLDER must be new, empty or an earlier site, got {folder}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what cannot be explained is no page to be published
        build(folder)


def build(folder: Path) -> None:
    """Write all pages into a folder; what an earlier build left there is replaced."""
    files = essays()
    modules = {name: pdoc.doc.Module.from_name(name) for name in reference()}
    for module in modules.values():
        adopt(module, modules)
    shutil.rmtree(folder, ignore_errors=True)
    pdoc.render.configure(docformat="google", show_source=False, template_directory=TEMPLATES)
    pages = [(page, title(file)) for file, page in files.items()]
    pages.insert(1, ("reference.html", "Reference"))
    for file, page in files.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        write(folder / page, title(file), linked(text, file, files, folder), pages)
    write(folder / "reference.html", "Reference", index(modules), pages)
    for name, module in modules.items():
        path = folder / "api" / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        page = PRIVATE.sub(r"\1", pdoc.render.html_module(module, modules))
        path.write_text(page, encoding="utf-8")
    search = pdoc.render.search_index(modules)
    (folder / "api" / "search.js").write_text(search, encoding="utf-8")


# ---- essays --------------------------------------------------------------------------------------


def essays() -> dict[str, str]:
    """The Markdown files, by their path in the repository, and the pages that they become."""
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    between = sorted(there - {*FIRST, *LAST}, key=lambda file: ("/tasks/" in file, file))
    found = [file for file in (*FIRST, *between, *LAST) if (ROOT / file).exists()]
    pages = {file: f"{Path(file).stem.lower()}.html" for file in found}
    pages |= {file: f"zh_{Path(file).stem}.html" for file in CHINESE}
    return pages | {"README.md": "index.html"}


def title(file: str) -> str:
    """The first heading of a Markdown file."""
    found = re.search(r"^# (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else Path(file).stem


def linked(text: str, file: str, files: Mapping[str, str], folder: Path) -> str:
    """A Markdown text whose links lead to pages; pictures are copied, other files only named."""

    def target(found: re.Match[str]) -> str:
        picture, words, path, place = found.groups()
        there = (ROOT / file).parent / path
        if not there.exists():  # another host, or no link at all
            return found[0]
        name = there.resolve().relative_to(ROOT.resolve()).as_posix()
        if picture:
            copy = folder / name.removeprefix("docs/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(there, copy)
            return f"![{words}]({name.removeprefix('docs/')})"
        return f"[{words}]({files[name]}{place or ''})" if name in files else words

    return LINK.sub(target, text)


def write(path: Path, name: str, text: str, pages: list[tuple[str, str]]) -> None:
    """Make a page of a Markdown text."""
    body = pdoc.render_helpers.to_html(text)
    template = pdoc.render.env.get_template("page.html.jinja2")
    path.parent.mkdir(parents=True, exist_ok=True)
    page = template.render(title=name, body=body, contents=body.toc_html, pages=pages)
    language = "zh" if path.name.startswith("zh_") else "en"  # for voices, fonts and line breaks
    path.write_text(page.replace('<html lang="en">', f'<html lang="{language}">'), encoding="utf-8")


# ---- reference -----------------------------------------------------------------------------------


def reference() -> Iterator[str]:
    """The modules that are explained; the names of `heedful` itself are loaded for that."""
    for name in heedful.__all__:
        vars(heedful)[name] = getattr(heedful, name)
    yield "heedful"
    for module in pkgutil.walk_packages(heedful.__path__, "heedful."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        package = importlib.import_module(module.name) if module.ispkg else None
        listed: list[str] = getattr(package, "__all__", [])
        for name in listed:  # what is loaded on first use
            vars(package)[name] = getattr(package, name)
        if listed or (WRITERS.match(module.name) and not SOURCES.match(module.name)):
            yield module.name


def adopt(module: pdoc.doc.Module, modules: Mapping[str, pdoc.doc.Module]) -> None:
    """Explain in a class what it inherits from one that has no page, but nothing from PyTorch.

    The page of an abstract class does not have its constructor.
    """
    for kind in module.classes:
        for name, member in kind.members.items():
            origin, place = member.taken_from
            shown = origin in modules and modules[origin].get(place) is not None
            if origin.startswith("heedful.") and not shown:
                member.taken_from = (kind.taken_from[0], f"{kind.taken_from[1]}.{name}")
            if member.docstring == inspect.getdoc(nn.Module.__init__):
                member.docstring = ""


def index(modules: Mapping[str, pdoc.doc.Module]) -> str:
    """The list of all modules, each with the first line of what it says of itself."""
    lines = ["# Reference", ""]
    for name, module in modules.items():
        about = module.docstring.partition("\n")[0]
        lines.append(f"- [{name}](api/{name.replace('.', '/')}.html): {about}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
