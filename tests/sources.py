"""The sources of heedful, each read and parsed once, whichever tests look at them."""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "heedful"

# path below the package -> text
TEXTS = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}

parsed = functools.cache(ast.parse)  # a text; nobody changes the tree
