"""How this program was called, so that what it suggests can be typed as it stands."""

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """`heedful`, or what was typed instead: `.venv/bin/heedful`, `python -m heedful`."""
    called = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path("heedful")
    if called.parts[-2:] == ("heedful", "__main__.py"):
        return f"{shlex.quote(Path(sys.executable).name)} -m heedful"
    if called.name not in ("heedful", "heedful.exe"):
        return "heedful"  # from Python, as the tests do
    found = shutil.which("heedful")
    if found is not None and Path(found).resolve() == called.resolve():
        return "heedful"
    here = Path.cwd()
    inside = called.is_absolute() and called.is_relative_to(here)
    return shlex.quote(str(called.relative_to(here) if inside else called))


def again(*words: object) -> str:
    """A command line that can be typed: this program and these words."""
    return " ".join([program(), *(shlex.quote(str(word)) for word in words)])


def own_task(source: str | None) -> tuple[str, ...]:
    """The words that name a task of the user's own, where there is one."""
    return () if source is None else ("--task-from", source)


def typed(command: str) -> str:
    """The command line that was given, beginning as this program was called."""
    return f"{program()}{command.removeprefix('heedful')}"
