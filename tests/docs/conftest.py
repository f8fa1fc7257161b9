"""Tutorials as readers have them: the files of a page in a folder, its commands run there."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.forked import run_together

ROOT = Path(__file__).parents[2]
# as `python -m` does it
MODULE = f"""
import os, runpy, sys
_, folder, *sys.argv = sys.argv
os.chdir(folder)
sys.path[:0] = [folder, {str(ROOT / "src")!r}]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Tutorial:
    """A page of docs/ whose files were written into a folder."""

    folder: Path
    files: dict[str, str]
    commands: list[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        """`python -m` with these words, in the folder."""
        (done,) = run_together(MODULE, [[self.folder, *words]], self.folder / "printed")
        return done.returncode, done.stdout, done.stderr

    def type(self, line: str) -> tuple[int, str, str]:
        """A command of the page."""
        return self.run(*(word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)))


@pytest.fixture(scope="module")
def tutorial(request, tmp_path_factory) -> Tutorial:
    """The page that `PAGE` of the test's module names."""
    text = (ROOT / "docs" / request.module.PAGE).read_text(encoding="utf-8")
    files = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))
    commands = re.search(r"```bash\n(.*?)```", text, re.DOTALL)
    folder = tmp_path_factory.mktemp("page")
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return Tutorial(folder, files, commands[1].splitlines() if commands else [])
