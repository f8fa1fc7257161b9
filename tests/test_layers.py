"""Who may import whom, and what no source may hold; `docs/architecture.md` shows the same rows."""

import ast
import graphlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests import sources
from tests.sources import PACKAGE, parsed

from heedful.tasks.catalog import BUILT_IN

ROOT = Path(__file__).parents[1]

# A file imports from the rows above its own, and from what stands left of it in its own row.
ROWS = (
    ("called", "errors", "texts", "removal", "files", "manifest", "locks", "renamed", "devices"),
    ("listeners", "mask"),
    ("kernels", "selection"),
    ("ops",),
    ("nn",),
    ("distributed", "probing", "models", "allocation"),
    ("config", "data", "metrics", "explaining", "tasks"),
    ("training", "evaluation", "explanation"),
    ("bench",),
    ("sharing", "optimizing", "profiling", "tuning", "checkpoints", "exporting", "federated"),
    ("testing",),
    ("report",),
    ("reporting",),
    ("serving",),
    ("cli",),
)
ORDER = [unit for row in ROWS for unit in row]

# unit -> all that it may import of heedful, where that is less than its row allows
NARROW = {
    # contracts of attention, and of tasks
    "testing": (
        *("errors", "mask", "ops", "explaining"),
        *("config", "data", "tasks", "training", "optimizing"),
    ),
    "selection": ("errors", "mask"),
    "config": ("errors", "texts"),
    "data": ("config", "errors", "files"),
    "metrics": ("errors", "data.scripts"),
    "report": (
        *("data.alignment", "data.image_attention", "errors", "explaining.explanation", "files"),
        "texts",
    ),
}

# Imports what the user names, so nobody can say beforehand what that is.
COMPUTED = tuple(
    f"a computed import in {module}"
    for module in ("testing.targets", "tasks.catalog", "bench.entry", "bench.baselines")
)

# Plain data and text: torch stays out of these, also inside functions.
NO_TORCH = (
    "errors",
    "files",
    "locks",
    "report",
    "data",
    *(unit for unit in ORDER if "config" in unit),
)

# Those of `tasks` that load torch; all others do so inside functions alone: a config that is wrong
# waits for none.
TASKS_WITH_TORCH = (
    *("translation.forced_decoding", "translation.losses", "translation.pairs"),
    *("translation.translator", "generate_image.gan", "describe.writing"),
    "classify_image.picture",
    *("segment.losses", "segment.picture"),
    *("classify_text.question", "translation.question"),
    *("rate_product.question", "classify_image.question", "classify_sequence.question"),
    *("classify_speech.question", "classify_video.question", "classify_node.question"),
    "fuse.question",
    *("summarise.question", "generate_text.question", "answer.question"),
    *("recommend.question", "forecast.question", "recognise_speech.question"),
    *("describe.question", "control.question"),
    *("classify_image.picture", "recognise_speech.losses", "recognise_speech.search"),
    *("segment.losses", "segment.picture", "detect.matching", "detect.picture"),
    *("segment.question", "detect.question", "generate_image.question"),
)

# Reading one of these runs code that the file brings along.
UNSAFE_MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
}
UNSAFE_CALLS = {"torch.load", "torch.save", "eval", "exec"}


class Import(NamedTuple):
    """One module that a file imports, by its full name."""

    name: str
    line: int


# ---- reading sources ----------------------------------------------------------------------------


def named(path: str) -> str:
    """The name of a file below the package, e.g. `ops.dot`."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


TEXTS = {named(path): text for path, text in sources.TEXTS.items()}
Sources = dict[str, ast.Module]


@pytest.fixture(scope="module")
def all_sources() -> Sources:
    return {name: parsed(text) for name, text in TEXTS.items()}


def imports(module: str, tree: ast.Module) -> Iterator[Import]:
    """All imports of a file: at the top, inside functions, for type checkers, and by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield Import(f"a relative import in {module}", node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "heedful":
            yield from (Import(f"heedful.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(str(node.module), node.lineno)
        elif isinstance(node, ast.Call) and dotted(node.func).endswith(
            ("import_module", "__import__")
        ):
            argument = node.args[0] if node.args else None
            known = isinstance(argument, ast.Constant)
            name = str(argument.value) if known else f"a computed import in {module}"
            yield Import(name, node.lineno)


def dotted(node: ast.expr) -> str:
    """`a.b.c` for an attribute or a name, nothing for any other expression."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unit_of(module: str) -> str:
    return {"__main__": "cli"}.get(module, module.partition(".")[0])


# ---- the checks, each returning what is wrong ----------------------------------------------------


def wrong_imports(sources: Sources) -> list[str]:
    """Imports that point down or sideways in the rows."""
    problems: list[str] = []
    for module, tree in sources.items():
        if module == "__init__":  # names everything, lazily
            continue
        unit = unit_of(module)
        if unit not in ORDER:
            problems.append(f"{module} must have a row in ROWS")
            continue
        allowed = ORDER[: ORDER.index(unit)]
        for name, line in imports(module, tree):
            if not name.startswith(("heedful", "a ")) or name in COMPUTED:
                continue
            target = name.removeprefix("heedful.")
            if not _allowed(unit, target, allowed):
                problems.append(f"{module}:{line} must not import {name}")
    return problems


def _allowed(unit: str, target: str, allowed: list[str]) -> bool:
    head = unit_of(target)
    if head == unit:
        return True
    if head not in allowed or (head == "testing" and unit != "cli"):
        return False
    narrow = NARROW.get(unit)
    return narrow is None or any(f"{target}.".startswith(f"{name}.") for name in narrow)


def import_cycle(sources: Sources) -> list[str]:
    """The first ring of modules that import each other when they load."""
    graph: dict[str, set[str]] = {}
    for module, tree in sources.items():
        top = ast.Module(
            [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        )
        names = {name.removeprefix("heedful.") for name, _ in imports(module, top)}
        graph[module] = names & sources.keys()
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def forbidden(sources: Sources) -> list[str]:
    """Imports and calls that a source must not hold."""
    problems: list[str] = []
    for module, tree in sources.items():
        names = {(name.partition(".")[0], line) for name, line in imports(module, tree)}
        if unit_of(module) in NO_TORCH:
            problems += [
                f"{module}:{line} must not import torch" for n, line in names if n == "torch"
            ]
        if module.startswith("testing.oracle"):
            fine = {"numpy", "collections", "math", "typing"}
            problems += [
                f"{module}:{line} must not import {name}"
                for name, line in imports(module, tree)
                if name.partition(".")[0] not in fine
                and not name.startswith("heedful.testing.oracle")
            ]
        problems += [
            f"{module}:{line} must not import {n}" for n, line in names if n in UNSAFE_MODULES
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                called = [f"torch.{alias.name}" for alias in node.names]
            else:
                called = [dotted(node.func)] if isinstance(node, ast.Call) else []
            problems += [
                f"{module}:{node.lineno} must not call {name}"
                for name in called
                if name in UNSAFE_CALLS
            ]
    return sorted(problems)


def misplaced_maths(sources: Sources) -> list[str]:
    """Parameters in `ops`, which is pure; a softmax in `nn`, which calls `ops` for it."""
    strange = {"ops": {"Parameter", "Module"}, "nn": {"softmax", "log_softmax", "einsum"}}
    problems: list[str] = []
    for module, tree in sources.items():
        words = strange.get(unit_of(module), set())
        for node in ast.walk(tree):
            word = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
            if word in words:
                problems.append(f"{module}:{node.lineno} must not use {word}")
    return problems


def loaded(code: str, folder: Path) -> set[str]:
    """The top-level modules that `code` loads in a fresh interpreter, with `folder` first."""
    program = f"import sys; old = set(sys.modules); {code}; print(*(set(sys.modules) - old))"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


# ---- heedful as it is ----------------------------------------------------------------------------


def test_every_source_is_looked_at():
    assert {"__init__", "__main__", "mask", "ops", "ops.dot", "cli.train"} <= TEXTS.keys()
    assert len(TEXTS) == len(list(PACKAGE.rglob("*.py")))


def test_rows_hold_only_what_exists():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert set(ORDER) == there - {"__init__", "__main__", "__pycache__"}


def test_imports_point_up(all_sources):
    assert wrong_imports(all_sources) == []


def test_no_module_imports_itself_in_a_ring(all_sources):
    assert import_cycle(all_sources) == []


def test_nothing_forbidden(all_sources):
    assert forbidden(all_sources) == []


def test_ops_are_pure_and_nn_calls_them(all_sources):
    assert misplaced_maths(all_sources) == []


@pytest.mark.parametrize(
    "units",
    [
        "errors files report data metrics cli",
        "config",
        "training.events",
        # what says a task; the networks load where one is built
        " ".join(
            name
            for name in TEXTS
            if name.startswith("tasks.") and name.removeprefix("tasks.") not in TASKS_WITH_TORCH
        ),
    ],
)
def test_torch_stays_out(units):
    modules = ["heedful"]
    for name in TEXTS:
        if {name, unit_of(name)} & {*units.split()}:
            modules.append(f"heedful.{name}".removesuffix(".__main__"))
    assert len(modules) > len(units.split())
    assert "torch" not in loaded(f"import {', '.join(modules)}", PACKAGE.parent)


def test_every_task_says_what_it_is_without_torch():
    for name, source in BUILT_IN.items():
        module = source.partition(":")[0].removeprefix("heedful.tasks.")
        assert module not in TASKS_WITH_TORCH, name


def test_import_heedful_loads_nothing_else():
    names = loaded("import heedful", PACKAGE.parent)
    assert "heedful" in names
    assert names - sys.stdlib_module_names == {"heedful"}


def test_architecture_shows_these_rows():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| \d+ \| ([^|]+) \|", text, re.MULTILINE)
    assert [tuple(re.findall(r"`(\w+)`", row)) for row in shown] == list(ROWS)


# ---- planted faults: every check was seen to fail ------------------------------------------------


def planted(module: str, code: str) -> Sources:
    """One file with a fault in its last line; a file that does not exist holds nothing else."""
    return {module: ast.parse(f"{TEXTS.get(module, '')}\n{code}\n")}


INSIDE = "def late():\n    {}"


@pytest.mark.parametrize(
    "module, code, name",
    [
        ("ops.dot", "import heedful.nn", "heedful.nn"),
        ("ops.dot", INSIDE.format("from heedful.nn import Attention"), "heedful.nn"),
        ("mask", "from heedful import ops", "heedful.ops"),
        ("errors", "from heedful.files import write_json", "heedful.files"),
        ("data.load", "from heedful.tasks import translation", "heedful.tasks"),
        ("data.load", "import heedful.mask", "heedful.mask"),
        ("config.base", "import heedful.data.load", "heedful.data.load"),
        ("report.fonts", "import heedful.data.load", "heedful.data.load"),
        ("nn.cache", "from heedful import Mask", "heedful.Mask"),
        ("nn.cache", "import heedful", "heedful"),
        ("nn.cache", "from heedful.config.base import Train", "heedful.config.base"),
        ("training.run", "import heedful.testing.masks", "heedful.testing.masks"),
        ("testing.masks", "import heedful.nn", "heedful.nn"),
        ("nn.cache", "from . import blocks", "a relative import in nn.cache"),
        (
            "nn.cache",
            "import_module('heedful.' + x)",
            "a computed import in nn.cache",
        ),
        ("mask", "importlib.import_module('heedful.nn')", "heedful.nn"),
        ("tasks.translation", "import heedful.cli", "heedful.cli"),
    ],
)
def test_a_wrong_import_is_found(module, code, name):
    (problem,) = wrong_imports(planted(module, code))
    assert re.fullmatch(rf"{re.escape(module)}:\d+ must not import {re.escape(name)}", problem)


def test_a_new_unit_must_have_a_row():
    assert wrong_imports(planted("cooking", "import json")) == ["cooking must have a row in ROWS"]


def test_a_ring_is_found(all_sources):
    ring = import_cycle(all_sources | planted("nn.cache", "from heedful.nn.blocks import Residual"))
    assert {"nn.cache", "nn.blocks"} <= set(ring)


@pytest.mark.parametrize(
    "module, code, problem",
    [
        ("training.run", "torch.load(path)", "call torch.load"),
        ("training.run", "from torch import load", "call torch.load"),
        ("data.load", "import pickle", "import pickle"),
        ("cli.new", INSIDE.format("import pickle"), "import pickle"),
        ("cli.new", "eval(text)", "call eval"),
        ("data.load", INSIDE.format("import torch.nn"), "import torch"),
        ("config.file", "from torch import nn", "import torch"),
        ("testing.oracle.scores", "import torch", "import torch"),
        ("testing.oracle.scores", "import heedful.mask", "import heedful.mask"),
    ],
)
def test_something_forbidden_is_found(module, code, problem):
    found = forbidden(planted(module, code))
    assert [re.sub(r":\d+", "", text) for text in found] == [f"{module} must not {problem}"]


@pytest.mark.parametrize(
    "module, code, problem",
    [
        ("ops.dot", "W = torch.nn.Parameter(x)", "use Parameter"),
        ("nn.attention", "y = x.softmax(-1)", "use softmax"),
        ("nn.blocks", "y = einsum('ij->j', x)", "use einsum"),
    ],
)
def test_misplaced_maths_is_found(module, code, problem):
    found = misplaced_maths(planted(module, code))
    assert [re.sub(r":\d+", "", text) for text in found] == [f"{module} must not {problem}"]


@pytest.mark.parametrize("file", ["report/__init__.py", "__init__.py"])
def test_a_loaded_package_is_found(tmp_path, file):
    skip = shutil.ignore_patterns("__pycache__")
    package = Path(shutil.copytree(PACKAGE, tmp_path / "heedful", ignore=skip))
    (tmp_path / "torch.py").touch()  # stands in for the real one, which is slow
    with (package / file).open("a", encoding="utf-8") as source:
        source.write("import torch\n")
    assert "torch" in loaded("import heedful.report", tmp_path)
