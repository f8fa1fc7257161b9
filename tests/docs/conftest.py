"""Tutorials as readers have them: the files of a page in a folder, its commands run there."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tutorial:
    """A page of docs/ whose files were written into a folder."""

    folder: Path
    files: dict[str, str]
    commands: list[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        """`python -m` with these words, in the folder."""
        paths = os.pathsep.join([str(self.folder), str(ROOT / "src")])
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
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
