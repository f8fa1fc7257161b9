"""Forwards that take the width of their heads from the width of what comes in, told another one.

Many modules split `batch, length, width = x.shape` and reshape to `width` what their heads mixed.
With fewer heads these are two numbers. What such a module becomes is its own class again, with its
own forward, in which chosen mentions of that name ask the module instead.
"""

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

WIDTH = "heedful_width"  # the attribute that is asked
TOLD = "heedful_told"  # stands for the class of a module among its attributes
MOST = 40  # sets of mentions that are tried

Mentions = tuple[int, ...]


def mentions_of(module: nn.Module) -> Iterator[Mentions]:
    """Yield sets of mentions of the width in a forward: all of them, one alone, all but one."""
    found = _parsed(type(module))
    if found is None or TOLD in vars(type(module)):
        return
    count = sum(_is(node, found[1]) for node in ast.walk(found[0]))
    sets = (
        tuple(x for x in range(count) if x not in left)
        for few in sorted(range(count), key=lambda few: min(few, count - 1 - few))
        for left in itertools.combinations(range(count), few)
    )
    yield from itertools.islice(sets, MOST if count else 0)


def tell(module: nn.Module, mentions: Mentions, width: int) -> None:
    """Let a module ask itself for the width of its heads, instead of what comes in.

    Args:
        module: Changed.
        mentions: Which mentions of the width, in the order of the syntax tree.
        width: What it finds.
    """
    module.__class__ = _told(type(module), mentions)
    setattr(module, WIDTH, width)


@functools.cache
def _told(kind: type[nn.Module], mentions: Mentions) -> type[nn.Module]:
    found = _parsed(kind)
    if found is None:
        raise AttributeError(f"{kind.__name__} takes no width from what comes in")
    tree, name = found
    counted = itertools.count()
    itself = tree.args.args[0].arg

    class Asking(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if not _is(node, name) or next(counted) not in mentions:
                return node
            asked = ast.Attribute(ast.Name(itself, ast.Load()), WIDTH, ast.Load())
            return ast.copy_location(asked, node)

    module = ast.fix_missing_locations(ast.Module([Asking().visit(tree)], []))
    old: Any = kind.forward
    compiled = compile(module, old.__code__.co_filename, "exec")  # its own code, of its own file
    code = next(x for x in compiled.co_consts if isinstance(x, CodeType))
    forward = FunctionType(code, old.__globals__, old.__name__, old.__defaults__)
    forward.__kwdefaults__ = old.__kwdefaults__
    about = {"forward": forward, TOLD: mentions, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), {**about, "__qualname__": kind.__qualname__})


def _parsed(kind: type[nn.Module]) -> tuple[ast.FunctionDef, str] | None:
    """The forward of a class, and by what name it calls the width of what comes in."""
    forward: Any = kind.forward
    if not isinstance(forward, FunctionType) or forward.__closure__:
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward))).body[0]
    except (OSError, SyntaxError):
        return None
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Tuple):
            last = target.elts[-1]
            if isinstance(last, ast.Name) and _is_shape(node.value):
                return tree, last.id
    return None


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _is_shape(value: ast.expr) -> bool:
    """Is this the shape of something?"""
    if isinstance(value, ast.Call) and not value.args:
        value = value.func
        return isinstance(value, ast.Attribute) and value.attr == "size"
    return isinstance(value, ast.Attribute) and value.attr == "shape"
