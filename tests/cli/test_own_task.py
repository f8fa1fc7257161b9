"""A task of the user's own, in a file where they stand, goes through every verb."""

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.cli import main
from heedful.tasks.catalog import BUILT_IN

PAGE = Path(__file__).parents[2] / "docs" / "write_a_task.md"
OWN = ("--task-from", "vowels:Vowels")


def run(*words):
    """A command line in this process, with streams of its own."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return SimpleNamespace(code=left.value.code, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the task of the documentation and a run of it."""
    place = tmp_path_factory.mktemp("own")
    page = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n(# vowels\.py\n.*?)```", page, re.DOTALL)[1]
    (place / "vowels.py").write_text(code, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", [*sys.path])
        made = run("new", *OWN, "-o", "vowels.toml")
        assert made.out == (
            "Wrote vowels.toml. Train with: heedful train vowels.toml --task-from vowels:Vowels\n"
        )
        assert run("train", "vowels.toml", *OWN, "-o", "run").code == 0
        yield place
        sys.modules.pop("vowels")


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.slow
def test_the_command_finds_it_where_one_stands():
    command = Path(sys.executable).with_name("heedful")  # whose path starts at its own folder
    done = subprocess.run([command, "new", *OWN], capture_output=True, timeout=100)
    assert done.stderr == b""
    assert done.stdout.decode() == Path("vowels.toml").read_text(encoding="utf-8")


def test_it_is_evaluated_and_answers():
    said = json.loads(run("evaluate", "run", *OWN, "--json").out)
    assert (said["examples"], said["split"]) == (60, "test")
    assert said["accuracy"] > 50
    assert "accuracy" in run("evaluate", "run", *OWN, "--split", "dev").out
    answers = run("predict", "run", *OWN, "aeiou", "bdk").out
    assert answers == "1\n0\n"
    assert [json.loads(x) for x in run("predict", "run", *OWN, "bdk", "--json").out.splitlines()]


def test_it_has_no_picture_and_no_settings_for_answers():
    said = run("predict", "run", *OWN, "a", "--attention")
    assert said.code == 2
    assert "the model must have attention to show it, got none that tells of it" in said.err
    said = run("predict", "run", *OWN, "a", "--beam", "3")
    assert said.code == 2
    assert "decode" in said.err


def test_it_is_profiled_and_changed():
    said = run("profile", "run", *OWN, "--leave-out", "0", "--json")
    assert said.code == 0, said.err
    (site,) = json.loads(said.out)["sites"]
    Plan(moves={site["name"]: (KeepHeads(heads=(0,)),)}).save(Path("plan.toml"))
    applied = run("apply", "plan.toml", "run", *OWN, "-o", "applied", "--finetune-steps", "2")
    assert applied.code == 0, applied.err
    assert run("evaluate", "applied", *OWN, "--json").code == 0


def test_it_is_optimised_or_refused_in_words():
    words = ("--lose", "loss 90%", "--trials", "2", "--finetune-steps", "2", "--minutes", "0.02")
    said = run("optimize", "run", *OWN, *words, "-o", "smaller", "--json")
    assert said.code in (0, 3), said.err
    assert json.loads(said.out)["accepted"] is (said.code == 0)


def test_a_training_that_was_stopped_says_the_task_again(monkeypatch):
    from heedful.cli.progress import TrainingProgress

    def stop(progress, event):
        progress.run = progress.run or getattr(event, "run", None)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingProgress, "__call__", stop)
    said = run("train", "vowels.toml", *OWN, "-o", "stopped")
    assert "Go on with: heedful train --resume stopped --task-from vowels:Vowels\n" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("train", "vowels.toml"),
        ("train", "--resume", "run"),
        ("evaluate", "run"),
        ("predict", "run", "a"),
        ("profile", "run"),
        ("optimize", "run", "--lose", "accuracy 1", "-o", "new"),
        ("apply", "vowels.toml", "run", "-o", "new"),
    ],
)
def test_without_its_name_it_is_said_what_to_do(words):
    said = run(*words)
    assert (said.code, said.out) == (2, "")
    assert "task must be" in said.err
    assert said.err.endswith("A task of your own is named by --task-from module:Class.\n")
    assert len(said.err.splitlines()[-1]) < 450


@pytest.mark.parametrize(
    "code, message",
    [
        ("x = 1\ny = 1 / 0\n", "ZeroDivisionError in NAME.py, line 2: division by zero"),
        ("import no_such_module\n", "ModuleNotFoundError in NAME.py, line 1: No module named"),
        ("raise SystemExit('bye')\n", "SystemExit in NAME.py, line 1: bye"),
        ("x = (\n", "'(' was never closed (NAME.py, line 1)"),
        ("x = 1\n", "module 'NAME' has no attribute 'Mine'"),
        ("Mine = 3\n", "--task-from must name a subclass of heedful.Task, got 'NAME:Mine'"),
        (
            "from heedful.tasks.base import Task\nclass Mine(Task): pass\n",
            "must name a whole task, got 'NAME:Mine' without answer, build, encode",
        ),
    ],
)
def test_what_is_wrong_with_it_is_said_in_one_line(request, code, message):
    name = "own_" + re.sub(r"\W", "_", request.node.callspec.id)[:9] + str(len(code))
    Path(f"{name}.py").write_text(code)
    said = run("train", "vowels.toml", "--task-from", f"{name}:Mine")
    assert (said.code, said.out) == (2, "")
    assert message.replace("NAME", name) in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("source", ["vowels", ":Vowels", "vowels:"])
def test_what_is_no_place_of_a_class(source):
    said = run("evaluate", "run", "--task-from", source)
    assert said.code == 2
    assert f"--task-from must look like module:Class, got {source!r}" in said.err


def test_the_tasks_are_still_listed_with_one_of_ones_own():
    said = run("new", "vowel", *OWN)
    assert said.code == 2
    assert all(name in said.err for name in ("vowels", "vowel"))
    assert run("new", next(iter(BUILT_IN)), *OWN).code == 0
