"""Forwards that take the width of their heads from the width of what comes in, told another one.

Many modules split `batch, length, width = x.shape` and reshape to `width` what their heads mixed.
With fewer heads these are two numbers. What such a module becomes is its own class again, with its
own forward, in which chosen mentions of that name ask the module instead. Where the forward hands
all of it to a function of its library, that function is told.
"""

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from torch import nn

WIDTH = "heedful_width"  # the attribute that is asked
TOLD = "heedful_told"  # stands for the class of a module among its attributes
FUNCTION = "heedful_function"  # what such a module calls, where another function has the mentions
MOST = 40  # sets of mentions that are tried

Mentions = tuple[int, ...]


def mentions_of(module: nn.Module) -> Iterator[Mentions]:
    """Yield sets of mentions of the width in a forward, or in a function that it calls.

    First those that stand behind one another: all of them, one alone, all but one, and so on.
    """
    found = _asking(type(module))
    if found is None or TOLD in vars(type(module)):
        return
    count = sum(_is(node, found.width) for node in ast.walk(found.tree))
    every = range(count)

    def likely(some: Mentions) -> tuple[int, int]:
        return min(count - len(some), len(some) - 1), -len(some)

    rows = (tuple(range(*ends)) for ends in itertools.combinations(range(count + 1), 2))
    others = (
        tuple(x for x in every if x not in left)
        for few in sorted(every, key=lambda few: min(few, count - 1 - few))
        for left in itertools.combinations(every, few)
    )
    apart = (some for some in others if some[-1] - some[0] >= len(some))
    # of two rows of one length the later first
    likeliest = sorted(sorted(rows, key=lambda row: -row[0]), key=likely)
    yield from itertools.islice((*likeliest, *itertools.islice(apart, MOST)), MOST)


def tell(module: nn.Module, mentions: Mentions, width: int) -> None:
    """Let a module ask itself for the width of its heads, instead of what comes in.

    Args:
        module: Changed.
        mentions: Which mentions of the width, in the order of the syntax tree.
        width: What it finds.
    """
    module.__class__ = _told(type(module), mentions)
    setattr(module, WIDTH, width)


def functions_of(kind: type[nn.Module]) -> dict[str, FunctionType]:
    """Return the functions of its own library that the forward of a class calls by their names."""
    forward: Any = kind.forward
    if not isinstance(forward, FunctionType):
        return {}
    library = kind.__module__.partition(".")[0]
    named = {name: forward.__globals__.get(name) for name in forward.__code__.co_names}
    return {
        name: function
        for name, function in named.items()
        if isinstance(function, FunctionType) and function.__module__.partition(".")[0] == library
    }


class _Asking(NamedTuple):
    """Where a width is taken from what comes in.

    Args:
        function: With the mentions.
        tree: Of it.
        width: By what name it calls the width.
        name: By what name the forward calls the function; empty where it is the forward itself.
    """

    function: FunctionType
    tree: ast.FunctionDef
    width: str
    name: str = ""


def _asking(kind: type[nn.Module]) -> _Asking | None:
    found = _parsed(kind.forward)
    if found is not None and found.width:
        return found
    for name, function in functions_of(kind).items() if found is not None else ():
        called = _parsed(function)
        if called is not None and called.width:
            return called._replace(name=name)
    return None


@functools.cache
def _told(kind: type[nn.Module], mentions: Mentions) -> type[nn.Module]:
    found = _asking(kind)
    if found is None:
        raise AttributeError(f"{kind.__name__} takes no width from what comes in")
    itself = ast.Name(found.tree.args.args[0].arg, ast.Load())
    asked: ast.expr = ast.Attribute(itself, WIDTH, ast.Load())
    if found.name:
        found.tree.args.kwonlyargs.append(ast.arg(WIDTH))
        found.tree.args.kw_defaults.append(None)
        asked = ast.Name(WIDTH, ast.Load())
    counted = itertools.count()

    class Asking(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if not _is(node, found.width) or next(counted) not in mentions:
                return node
            return ast.copy_location(asked, node)

    about: dict[str, Any] = {TOLD: mentions, "__module__": kind.__module__}
    function = _compiled(found.function, Asking().visit(found.tree))
    if found.name:
        about[FUNCTION] = staticmethod(function)
        function = _compiled(kind.forward, _passing(kind, found.name))
    about |= {"forward": function, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), about)


def _passing(kind: type[nn.Module], name: str) -> ast.FunctionDef:
    """The forward of a class that calls the function of its own, and tells it the width."""
    tree = _tree(kind.forward)
    itself = tree.args.args[0].arg

    def own(attribute: str) -> ast.expr:
        return ast.Attribute(ast.Name(itself, ast.Load()), attribute, ast.Load())

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            node.func = own(FUNCTION)
            node.keywords.append(ast.keyword(WIDTH, own(WIDTH)))
    return tree


def _compiled(old: Any, tree: ast.FunctionDef) -> FunctionType:
    """A function like another, with this syntax tree."""
    module = ast.fix_missing_locations(ast.Module([tree], []))
    compiled = compile(module, old.__code__.co_filename, "exec")  # its own code, of its own file
    code = next(x for x in compiled.co_consts if isinstance(x, CodeType) and x.co_name == tree.name)
    new = FunctionType(code, old.__globals__, old.__name__, old.__defaults__)
    new.__kwdefaults__ = old.__kwdefaults__
    return new


def _parsed(function: Any) -> _Asking | None:
    """A function and by what name it calls the width of what comes in, if it has one."""
    if not isinstance(function, FunctionType) or function.__closure__:
        return None
    try:
        tree = _tree(function)
    except (OSError, SyntaxError, TypeError):
        return None
    if tree.decorator_list:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Tuple):
            last = target.elts[-1]
            if isinstance(last, ast.Name) and _is_shape(node.value):
                return _Asking(function, tree, last.id)
    return _Asking(function, tree, "")


def _tree(function: Any) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"a function must be defined by def, got {type(tree).__name__}")
    return tree


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _is_shape(value: ast.expr) -> bool:
    """Is this the shape of something?"""
    if isinstance(value, ast.Call) and not value.args:
        value = value.func
        return isinstance(value, ast.Attribute) and value.attr == "size"
    return isinstance(value, ast.Attribute) and value.attr == "shape"
