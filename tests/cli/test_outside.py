"""What goes wrong outside heedful ends in one line, and a bug of ours does not."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from heedful.cli import _program, _signals
from heedful.cli._output import check_file, check_folder, check_replaced
from heedful.cli._outside import outside, readable_warnings, short, told, users_code
from heedful.errors import ConfigError, KernelWarning, RunError


def raised(action):
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "action, words",
    [
        (lambda: open("no/such/file"), "no/such/file must be usable, got: No such file"),
        (lambda: torch.empty(10**15), "must fit into memory, got: "),
        (lambda: torch.empty(10**18, 10**18), "must fit into memory, got: "),
        (lambda: bytes(10**17), "must fit into memory, got: more than this machine has"),
        (lambda: "a\udcff".encode(), "names must be UTF-8, got a\\udcff"),
    ],
)
def test_is_said_in_a_line(action, words):
    said = outside(raised(action))
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("shape"), ZeroDivisionError()])
def test_a_bug_is_a_bug(error):
    assert outside(error) is None


def test_what_nobody_reads_is_left_out_of_the_middle():
    said = f"{'/x' * 10_000} must be a text file, got no such file\nand more"
    first, second = short(said).split("\n")
    assert first.startswith("/x/x/x")
    assert first.endswith("x must be a text file, got no such file")
    assert (len(first), second) == (1_003, "and more")
    assert short("y" * 1_000) == "y" * 1_000


def test_what_users_code_raises_is_theirs():
    with pytest.raises(ConfigError, match=r"^m:f must run alone, got KeyError: 'x'$"):
        with users_code("m:f", "run alone"):
            raise KeyError("x")
    with pytest.raises(RunError, match="ours"), users_code("m:f", "run alone"):
        raise RunError("ours")
    with pytest.raises(MemoryError), users_code("m:f", "run alone"):
        raise MemoryError
    assert told(ValueError("first\nsecond")) == "ValueError: first"
    assert told(ValueError()) == "ValueError"


def test_warnings_of_ours_are_a_line_and_others_stay(capsys):
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with readable_warnings():
            warnings.warn("no compiler", KernelWarning, stacklevel=1)
            warnings.warn("theirs", UserWarning, stacklevel=1)
    assert [str(other.message) for other in others] == ["theirs"]
    assert capsys.readouterr().err == "heedful: no compiler\n"


@pytest.mark.parametrize(
    "path, force, message",
    [
        ("there", False, "output must be a new file, got there. --force replaces it"),
        ("dangling", False, "output must be a new file, got dangling"),
        ("folder", True, "--output must be an ordinary file, got folder"),
        ("none/x", True, "--output must be in a folder that exists, got none/x"),
        ("there/x", True, "--output must be in a folder that exists, got there/x"),
    ],
)
def test_files_that_cannot_be_written_are_refused(tmp_path, monkeypatch, path, force, message):
    monkeypatch.chdir(tmp_path)
    Path("there").touch()
    Path("folder").mkdir()
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=message):
        check_file(Path(path), force=force)
    check_file(Path("there"), force=True)
    check_file(Path("new"), force=False)


def test_folders_that_cannot_be_made_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ConfigError, match="output must be in a folder, got file/x"):
        check_folder(Path("file/x"))
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(ConfigError, match="must be in a folder that can be written, got a/b"):
        check_folder(Path("a/b"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    check_folder(Path("a/b"))
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    for path in (".", "..", "../../a"):
        with pytest.raises(ConfigError, match="another folder than the current one, got"):
            check_replaced(Path(path))
    check_replaced(Path("../c"))


@pytest.mark.parametrize(
    "called, path, words",
    [
        (".venv/bin/heedful", "/usr/bin", ".venv/bin/heedful"),
        ("{here}/.venv/bin/heedful", "/usr/bin", ".venv/bin/heedful"),
        ("{here}/.venv/bin/heedful", "{here}/.venv/bin", "heedful"),
        ("/x/heedful/__main__.py", "", f"{Path(sys.executable).name} -m heedful"),
        ("/x/pytest", "", "heedful"),
        ("", "", "heedful"),
    ],
)
def test_what_is_suggested_can_be_typed(tmp_path, monkeypatch, called, path, words):
    program = tmp_path / ".venv/bin/heedful"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path.format(here=tmp_path))
    monkeypatch.setattr(sys, "argv", [called.format(here=tmp_path)])
    assert _program.again("predict", "my run") == f"{words} predict 'my run'"
    assert _program.typed("heedful tune x") == f"{words} tune x"


def test_sigterm_is_said_and_leaves_with_143(tmp_path):
    code = (
        "import sys, time, types\n"
        "def Run(folder, task=None):\n    print('here', flush=True)\n    time.sleep(50)\n"
        "sys.modules['heedful.training.run'] = types.SimpleNamespace(Run=Run)\n"
        "from heedful.cli import main\nsys.argv[1:] = ['predict', 'r', 'x']\nmain()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as process:
        assert process.stdout.readline() == b"here\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == _signals.TERMINATED == 143
        assert process.stderr.read() == b"heedful: terminated\n"


def test_only_who_has_not_decided_is_told_of_sigterm(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _signals.raise_on_sigterm()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _signals.raise_on_sigterm()
        with pytest.raises(_signals.Terminated):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
