"""The built-in texts with their summaries: docstrings of Python's standard library."""

import ast
import re
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path
from random import Random

from heedful.data.examples import Example, Splits
from heedful.errors import ConfigError

# tests and tools that are no library, tables, and what others have installed
_LEFT_OUT = {
    *("test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data", "turtledemo"),
    *("site-packages", "dist-packages"),
}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SIGNATURE = re.compile(r"[\w.]+\s*\([^)]*\)?[^a-z]*(->.*|)$|[\w.]+\(.*\) -+>? .*")
SUMMARY = (2, 30)  # words
BODY = 5  # words, at least


def docstrings(*, dev: float, test: float, seed: int) -> Splits[Example]:
    """Return docstrings without their first line, and that line.

    Sources are read and never run. A first line that is a signature is left out, as are doctests
    and underlinings. A summary or a body that stands in several modules is of the first one only.
    A module is in one split with all that is below it, so that nothing held out was written by
    who wrote what is learned.

    Args:
        dev: Share of the docstrings, about.
        test: Share of the docstrings, about.
        seed: The same seed gives the same splits of the same Python.

    Raises:
        ConfigError: The running Python has no sources.

    Source:
        The standard library of the running Python.
    """
    found = dict[str, list[Example]]()
    seen = set[str]()
    for path in _files():
        module = _module(path)
        for text in _texts(path):
            pair = parted(text)
            if pair is None or seen & {*pair}:
                continue
            seen.update(pair)
            found.setdefault(module, []).append(Example(pair[1], pair[0], module))
    if not found:
        raise ConfigError(f"the sources of Python must be in {_library()}, got none")
    modules = sorted(found)
    Random(seed).shuffle(modules)
    total, splits = sum(map(len, found.values())), dict[str, list[Example]](dev=[], test=[])
    rest: list[Example] = []
    for module in modules:
        for name, share in (("dev", dev), ("test", test)):
            # a large module would be a split of its own
            if len(splits[name]) + len(found[module]) <= share * total:
                splits[name] += found[module]
                break
        else:
            rest += found[module]
    return Splits(rest, splits["dev"], splits["test"])


def parted(docstring: str) -> tuple[str, str] | None:
    """Return the summary of a docstring and the rest of it, both on one line.

    `None` where there is no summary of a few words, or too little below it.
    """
    paragraphs = [p for p in re.split(r"\n\s*\n", _prose(docstring)) if p.strip()]
    if paragraphs and _SIGNATURE.match(paragraphs[0].splitlines()[0].strip()):
        first = paragraphs[0].splitlines()[1:]
        paragraphs[0] = textwrap.dedent("\n".join(first))
        paragraphs = [p for p in paragraphs if p.strip()]
    if len(paragraphs) < 2:
        return None
    summary, *body = (" ".join(p.split()) for p in paragraphs)
    text = " ".join(body)
    few, many = SUMMARY
    if not few <= len(summary.split()) <= many or len(text.split()) < BODY:
        return None
    return summary, text


def _prose(docstring: str) -> str:
    """The lines that are no doctest, no output of one and no underlining."""
    lines: list[str] = []
    quoted = False
    for line in docstring.splitlines():
        bare = line.strip()
        quoted = bare.startswith(">>>") or (quoted and bool(bare))
        if not quoted and not re.fullmatch(r"[-=~*^#]{3,}", bare):
            lines.append(line)
    return "\n".join(lines)


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _files() -> Iterator[Path]:
    root = _library()
    for path in sorted(root.rglob("*.py")):
        if not _LEFT_OUT & {*path.relative_to(root).parts}:
            yield path


def _module(path: Path) -> str:
    return path.relative_to(_library()).with_suffix("").parts[0]


def _texts(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # a template, or a file that nobody may read
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text
