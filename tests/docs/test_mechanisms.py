"""`docs/mechanisms.md` shows every mechanism with a picture, and its sources are the code's."""

import contextlib
import importlib
import inspect
import io
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
import typer.main

from heedful.cli import app
from heedful.nn.aligners import ALIGNERS
from heedful.nn.co import CO_MODULES
from heedful.nn.fusion import FUSIONS
from heedful.nn.mechanisms import MECHANISMS
from heedful.nn.vision import VISION
from heedful.ops import OPS
from heedful.ops.co import CO_OPS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "mechanisms.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[([^]]*)\]\(mechanisms/([^)]*)\.png\)")
WORK = re.compile(r"[^;:,|`]+ \d{4}, arXiv:\d{4}\.\d{4,5}")
NUMBER = re.compile(r"arXiv:\d{4}\.\d{4,5}")
FAMILIES = {
    "OPS": OPS,
    "MECHANISMS": MECHANISMS,
    "VISION": VISION,
    "CO_OPS": CO_OPS,
    "CO_MODULES": CO_MODULES,
    "FUSIONS": FUSIONS,
}


class Row(NamedTuple):
    picture: str
    name: str
    places: list[str]
    cells: list[str]


def rows(page: str) -> Iterator[Row]:
    """The rows of all tables but their heads."""
    for line in page.splitlines():
        if line.startswith("| !["):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            name = re.search(r"\*\*(\w+)\*\*", cells[1])
            assert name, line
            yield Row(cells[0], name[1], re.findall(r"`(heedful[\w.]*)`", cells[1]), cells)


def find(place: str) -> object | None:
    """The object that a dotted name stands for; `None`: there is none."""
    parts = place.split(".")
    for cut in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: object | None = importlib.import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found
    return None


def problems(page: str, files: set[str], drawn: set[str]) -> list[str]:
    """What a reader would stumble over, in words."""
    found = [f"{name} of {family} has no row" for family, name in _missing(page)]
    for row in rows(page):
        if not PICTURE.fullmatch(row.picture):
            found.append(f"{row.name} has no picture")
        if len(row.cells) not in (5, 6) or not all(row.cells[:-1]):
            found.append(f"{row.name} lacks a cell")
        found += [f"{row.name}: {problem}" for problem in _wrong_source(row)]
    linked = [name for _, name in PICTURE.findall(page)]
    found += [f"{name} is linked twice" for name in set(linked) if linked.count(name) > 1]
    for one, other, what in (
        (set(linked), files, "is linked and no file"),
        (files, set(linked), "is a file and not linked"),
        (files, drawn, "is a file and not drawn"),
        (drawn, files, "is drawn and no file"),
    ):
        found += [f"{name} {what}" for name in sorted(one - other)]
    found += [f"{alt} stands for {name}" for alt, name in PICTURE.findall(page) if alt != name]
    return found


def _missing(page: str) -> Iterator[tuple[str, str]]:
    shown = {(row.name, find(place)) for row in rows(page) for place in row.places}
    for family, table in FAMILIES.items():
        for name, thing in table.items():
            if (name, thing) not in shown:
                yield family, name


def _wrong_source(row: Row) -> Iterator[str]:
    documents = ""
    for place in row.places:
        if find(place) is None:
            yield f"there is no {place}"
        documents += " ".join((inspect.getdoc(find(place)) or "").split()) + "\n"
    for work in WORK.findall(row.cells[-1]):
        if work.strip() not in documents:
            yield f"{work.strip()} is not in the code"
    there, here = set(NUMBER.findall(documents)), set(NUMBER.findall(row.cells[-1]))
    if there != here:
        yield f"{sorted(there ^ here)} stands in the code or here only"
    if len(WORK.findall(row.cells[-1])) != len(NUMBER.findall(row.cells[-1])):
        yield "a number has no author and year"


@pytest.fixture(scope="module")
def script():
    return SimpleNamespace(**runpy.run_path(str(DOCS / "draw_mechanisms.py")))


@pytest.fixture(scope="module")
def files():
    return {path.stem for path in (DOCS / "mechanisms").iterdir() if path.suffix == ".png"}


def test_every_mechanism_has_a_row_a_picture_and_the_sources_of_the_code(script, files):
    assert problems(PAGE, files, set(script.pictures())) == []
    assert all(path.suffix == ".png" for path in (DOCS / "mechanisms").iterdir())


def test_aligners_that_are_nothing_else_have_a_row():
    places = {place for row in rows(PAGE) for place in row.places}
    alone = [thing.__name__ for name, thing in ALIGNERS.items() if name not in MECHANISMS]
    assert len(alone) == 2
    assert {f"heedful.nn.aligners.{name}" for name in alone} <= places


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ("**reformer**", "**reform**", "reformer of OPS has no row"),
        ("ops.window_attention", "ops.windows_attention", "window of OPS has no row"),
        ("nn.vision.Eca`", "nn.vision.Cbam`", "eca of VISION has no row"),
        ("heedful.Mask.dense", "heedful.Mask.all", "dense: there is no heedful.Mask.all"),
        ("arXiv:1409.0473", "arXiv:1409.0474", "1409.0474 is not in the code"),
        ("Dai et al. 2019", "Dai et al. 2018", "Dai et al. 2018, arXiv:1901.02860 is not"),
        ("; idea: Tu et al. 2016, arXiv:1601.04811", "", "'arXiv:1601.04811'] stands in the code"),
        ("(mechanisms/dot.png)", "(mechanisms/dots.png)", "dots is linked and no file"),
        ("![dot](mechanisms/dot.png)", "![dot]()", "dot is a file and not linked"),
        ("(mechanisms/eca.png)", "(mechanisms/cbam.png)", "cbam is linked twice"),
        ("![sagan]", "![saga]", "saga stands for sagan"),
        ("time `n² log n`, memory `n²`", "", "sparsemax lacks a cell"),
    ],
)
def test_a_planted_fault_is_found(script, files, old, new, problem):
    assert old in PAGE
    found = problems(PAGE.replace(old, new), files, set(script.pictures()))
    assert any(problem in line for line in found), found


def test_a_picture_too_many_or_too_few_is_found(script, files):
    drawn = set(script.pictures())
    assert problems(PAGE, files | {"more"}, drawn) == [
        "more is a file and not linked",
        "more is a file and not drawn",
    ]
    assert problems(PAGE, files - {"dot"}, drawn) == [
        "dot is linked and no file",
        "dot is drawn and no file",
    ]


# ---- pictures -----------------------------------------------------------------------------------


def shown(path: Path) -> torch.Tensor:
    """The red, green and blue of every pixel."""
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures").open(path)
    pixels = torch.tensor(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).int()


def expected(numbers: torch.Tensor) -> torch.Tensor:
    """White to dark blue, or to red below zero; grey for a gap."""
    blue, red, grey = (torch.tensor(x) for x in ((8, 48, 107), (178, 24, 43), (204, 204, 204)))
    size = numbers.nan_to_num()[..., None]
    colours = 255 + size.abs() * (torch.where(size > 0, blue, red) - 255)
    return torch.where(numbers.isnan()[..., None], grey, colours)


def furthest(pixels: torch.Tensor, numbers: torch.Tensor) -> float:
    """By how much the middle of any cell has another colour than it should."""
    rows, columns = numbers.shape
    cell = pixels.shape[0] // rows
    assert (pixels.shape[0] - 2, pixels.shape[1] - 2) == (cell * rows, cell * columns)
    middles = pixels[1 + cell // 2 :: cell, 1 + cell // 2 :: cell][:rows, :columns]
    return float((middles - expected(numbers)).abs().max())


def test_every_picture_is_what_the_script_makes(script):
    for name in script.pictures():
        numbers = script.make(name)
        assert furthest(shown(DOCS / "mechanisms" / f"{name}.png"), numbers) < 3, name


def test_another_picture_is_found(script):
    numbers = script.make("entmax")
    pixels = shown(DOCS / "mechanisms" / "entmax.png")
    assert furthest(pixels, numbers) < 3
    assert furthest(pixels, numbers.flip(0)) > 100
    assert furthest(pixels, -numbers) > 100


def test_what_the_pictures_say(script):
    """That each shows what its row tells of it."""
    softmax, entmax, sparsemax = (script.make(x) for x in ("scaled_dot", "entmax", "sparsemax"))
    zeros = [int((x == 0).sum()) for x in (softmax, entmax, sparsemax)]
    assert zeros[0] == 0 < zeros[1] < zeros[2]
    assert ((script.make("top_k") > 0).sum(1) == 3).all()
    assert (script.make("differential") < 0).any()
    assert (script.make("sink")[:, -1] > 0).all()
    assert torch.equal(script.make("reformer") > 0, (script.make("reformer") > 0).tril(3).triu(-7))
    assert (script.make("mixture")[::2] > 0).sum(0).eq(4).all()
    assert script.make("token_merging").shape == (16, 24)


# ---- code ---------------------------------------------------------------------------------------


def wrong_blocks(markdown: str) -> list[str]:
    """Run the Python blocks in order; a text block that follows must be what is printed."""
    blocks = FENCE.findall(markdown)
    names: dict[str, object] = {"__name__": "page"}
    found: list[str] = []
    for number, (language, code) in enumerate(blocks):
        if language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"block {number}", "exec"), names)
        following, text = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
        if out.getvalue() != (text if following == "text" else ""):
            found.append(f"block {number} prints\n{out.getvalue()}")
    return found


def wrong_commands(markdown: str) -> list[str]:
    """Commands and options that `heedful` does not have."""
    verbs = typer.main.get_command(app).commands
    found: list[str] = []
    for language, code in FENCE.findall(markdown):
        for line in code.splitlines() if language == "sh" else ():
            words = shlex.split(line, comments=True)
            verb = verbs.get(words[1]) if words[0] == "heedful" else None
            known = {option for p in (verb.params if verb else ()) for option in p.opts}
            if verb is None or not {w for w in words if w.startswith("-")} <= known:
                found.append(line)
    return found


def test_code_runs_and_commands_exist():
    assert PAGE.count("```python\n") == 4
    assert wrong_blocks(PAGE) == []
    assert PAGE.count("\nheedful ") == 4
    assert wrong_commands(PAGE) == []


def test_only_mechanisms_that_exist_are_benched():
    (only,) = re.findall(r"--only (\S+)", PAGE)
    assert set(only.split(",")) <= set(MECHANISMS)


@pytest.mark.parametrize(
    "markdown",
    [
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\nx = 1\n```\n\n```text\n1\n```\n",
        "```sh\nheedful verifies mine:attend\n```\n",
        "```sh\nheedful verify mine:attend --oracles dot\n```\n",
        "```sh\nhead README.md\n```\n",
    ],
)
def test_a_wrong_block_is_found(markdown):
    assert len(wrong_blocks(markdown) + wrong_commands(markdown)) == 1
