"""The public surface: names that are listed, resolve and are explained."""

import ast
import importlib
import inspect
import re
from typing import Any

import pytest
from tests import sources
from tests.sources import parsed

import heedful

HEADINGS = ("Args", "Returns", "Raises", "Source", "Cost")
IN_ORDER = ("Args", "Attributes", *HEADINGS[1:])  # classes also say what they are

# op that is not a mechanism -> headings that it does without, because nobody invented it
WITHOUT = {
    "masked_entmax": {"Source", "Cost"},
    "masked_softmax": {"Source", "Cost"},
}
OLDER = {"factorise"}  # than arXiv

TEXTS = {
    f"heedful.{path.removesuffix('.py').replace('/', '.')}": text
    for path, text in sources.TEXTS.items()
}
Documented = ast.FunctionDef | ast.ClassDef


def public(trees: dict[str, ast.Module]) -> list[tuple[str, Documented]]:
    """Functions and classes without an underscore, in files without one, by their full name."""
    return [
        (f"{module.removesuffix('.__init__')}.{node.name}", node)
        for module, tree in trees.items()
        if not module.rpartition(".")[2].startswith("_") or module.endswith("__init__")
        for node in tree.body
        if isinstance(node, Documented) and not node.name.startswith("_")
        if not any(ast.unparse(by) == "overload" for by in node.decorator_list)
    ]


def all_of(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


LISTS = {
    module.removesuffix(".__init__"): names
    for module, text in TEXTS.items()
    if "__all__" in text and (names := all_of(parsed(text))) is not None
}


# ---- lists of names ------------------------------------------------------------------------------


def test_top_level_list_is_the_lazy_table():
    assert heedful.__all__ == sorted(heedful._PUBLIC)
    assert dir(heedful) == sorted((*heedful.__all__, *heedful._PACKAGES))


@pytest.mark.parametrize("name", heedful.__all__)
def test_top_level_name_is_defined_where_the_table_says(name):
    thing = getattr(heedful, name)
    assert (thing.__module__, thing.__name__) == (heedful._PUBLIC[name], name)


def test_packages_need_no_import_of_their_own():
    for name in heedful._PACKAGES:
        assert heedful.__getattr__(name).__name__ == f"heedful.{name}"


def test_unknown_top_level_name():
    with pytest.raises(AttributeError, match="module 'heedful' has no attribute 'attends'"):
        heedful.attends  # noqa: B018


@pytest.mark.parametrize("old, new", heedful._RENAMED.items())
def test_an_older_name_is_the_new_thing_and_says_so(old, new):
    with pytest.warns(DeprecationWarning, match=f"^heedful.{old} is now heedful.{new}$"):
        assert getattr(heedful, old) is getattr(heedful, new)
    assert old not in dir(heedful)


def test_sub_packages_with_lists_are_found():
    assert {"heedful", "heedful.ops", "heedful.nn", "heedful.models"} <= LISTS.keys()


@pytest.mark.parametrize("module", LISTS)
def test_list_is_sorted_and_public_and_resolves(module):
    names = LISTS[module]
    assert names == sorted(set(names))
    assert not [name for name in names if name.startswith("_")]
    package = importlib.import_module(module)
    assert not [name for name in names if not hasattr(package, name)]


@pytest.mark.parametrize("module", [module for module in LISTS if module != "heedful"])
def test_list_is_complete(module):
    tree = parsed(TEXTS[f"{module}.__init__"])
    bound = [
        alias.asname or alias.name
        for node in [*tree.body, *_lazily(tree)]
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("heedful.")
        for alias in node.names
    ]
    bound += [str(node.target.id) for node in tree.body if _is_constant(node)]
    assert sorted(name for name in bound if not name.startswith("_")) == LISTS[module]


def _lazily(tree: ast.Module) -> list[ast.stmt]:
    """What only type checkers import: it is loaded when it is asked for."""
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    return [node for block in blocks for node in block.body]


def _is_constant(node: Any) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


# ---- docstrings ----------------------------------------------------------------------------------


def undocumented(trees: dict[str, ast.Module]) -> list[str]:
    missing = [module for module, tree in trees.items() if not ast.get_docstring(tree)]
    return missing + [name for name, node in public(trees) if not ast.get_docstring(node)]


def wrong_headings(trees: dict[str, ast.Module]) -> list[str]:
    """Headings that are unknown, twice there or in another order, also those of methods."""
    problems: list[str] = []
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, Documented):
                continue
            found = headings(ast.get_docstring(node) or "")
            if found != [heading for heading in IN_ORDER if heading in found]:
                problems.append(f"{module}.{node.name}: {', '.join(found)}")
    return problems


def headings(docstring: str) -> list[str]:
    """Lines of one word and a colon that stand at the margin."""
    return re.findall(r"^([A-Z]\w+):$", docstring, re.MULTILINE)


def section(docstring: str, heading: str) -> str:
    """What is indented below a heading."""
    found = re.search(rf"^{heading}:\n((?:    .*\n?|\n)*)", docstring, re.MULTILINE)
    return inspect.cleandoc(found[1]) if found else ""


def unlisted(trees: dict[str, ast.Module]) -> list[str]:
    """Arguments that the docstring does not explain or that do not exist, and errors it hides."""
    problems: list[str] = []
    for name, node in public(trees):
        if not isinstance(node, ast.FunctionDef):
            continue
        text = ast.get_docstring(node) or ""
        arguments = parameters(node.args)
        explained = re.findall(r"^(\w+):", section(text, "Args"), re.MULTILINE)
        if explained and explained != arguments:
            problems.append(f"{name} must explain {arguments}, got {explained}")
        if name.startswith("heedful.cli."):  # there the docstring is the help text
            continue
        listed = re.findall(r"^(\w+):", section(text, "Raises"), re.MULTILINE)
        problems += [f"{name} must list {error}" for error in sorted(raised(node) - set(listed))]
    return problems


def parameters(arguments: ast.arguments) -> list[str]:
    stars = (arguments.vararg, arguments.kwonlyargs, arguments.kwarg)
    named = [*arguments.posonlyargs, *arguments.args]
    for more in stars:
        named += more if isinstance(more, list) else [more] if more else []
    return [argument.arg for argument in named]


def raised(function: ast.FunctionDef) -> set[str]:
    """The errors that a function raises in its own body."""
    return {
        node.exc.func.id
        for node in ast.walk(function)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {module: parsed(text) for module, text in TEXTS.items()}


def test_everything_public_is_documented(trees):
    assert len(public(trees)) > 100
    assert undocumented(trees) == []


def test_headings_are_in_their_order(trees):
    assert wrong_headings(trees) == []


def test_arguments_and_errors_are_listed(trees):
    assert unlisted(trees) == []


@pytest.mark.parametrize("name", [name for name in LISTS["heedful.ops"] if name[0].islower()])
def test_ops_have_every_heading(name):
    import heedful.ops

    function = getattr(heedful.ops, name)
    text = inspect.getdoc(function)
    assert headings(text) == [h for h in HEADINGS if h not in WITHOUT.get(name, ())]
    explained = re.findall(r"^(\w+):", section(text, "Args"), re.MULTILINE)
    assert explained == list(inspect.signature(function).parameters)
    if name not in WITHOUT and name not in OLDER:
        assert re.search(r"^[A-Z].* \d{4}, arXiv:\d{4}\.\d{4,5}\b", section(text, "Source"))


# ---- planted faults ------------------------------------------------------------------------------

GOOD = '''"""A module."""


def window(query, *, size):
    """Look around.

    Args:
        query: What is looked for.
        size: How far.

    Raises:
        ConfigError: `size < 1`.
    """
    raise ConfigError(f"size must be at least 1, got {size}")
'''


@pytest.mark.parametrize(
    "check, old, new",
    [
        (undocumented, '"""A module."""', ""),
        (undocumented, "def window", "class Window:\n    x = 1\n\n\ndef window"),
        (wrong_headings, "Args:", "Arguments:"),
        (wrong_headings, "    Args:", "    Raises:\n        E: x.\n\n    Args:"),
        (unlisted, "size: How", "width: How"),
        (unlisted, "size: How far.\n", ""),
        (unlisted, "ConfigError: `size", "ShapeError: `size"),
    ],
)
def test_a_planted_fault_is_found(check, old, new):
    assert check({"heedful.window": ast.parse(GOOD)}) == []
    assert old in GOOD
    assert len(check({"heedful.window": ast.parse(GOOD.replace(old, new, 1))})) == 1
