"""One process at a time in a folder, and words for who that is."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from heedful import locks
from heedful.errors import RunError
from heedful.locks import LOCK, check_unused, hold

CODE = """
import sys
from pathlib import Path
from heedful.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder until its stdin ends."""
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.skipif(locks._fcntl is None, reason="SIGKILL is a thing of Unix")
@pytest.mark.parametrize("killed", [True, False])
def test_another_process_is_named_and_its_end_frees_the_folder(tmp_path, other, killed):
    said = rf"{tmp_path} must not be in use, got: held by process {other.pid} \(-c .*\) since 2"
    with pytest.raises(RunError, match=said), hold(tmp_path):
        pass
    if killed:
        other.send_signal(signal.SIGKILL)
    else:
        other.stdin.close()
    other.wait()
    assert (tmp_path / LOCK).exists() == killed
    with hold(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_the_same_process_holds_it_once(tmp_path):
    with hold(tmp_path), pytest.raises(RunError, match=f"held by process {os.getpid()} "):
        hold(tmp_path).__enter__()
    with pytest.raises(KeyError), hold(tmp_path):
        raise KeyError
    with hold(tmp_path):
        pass


def test_two_folders_are_two_locks(tmp_path):
    (tmp_path / "inner").mkdir()
    with hold(tmp_path), hold(tmp_path / "inner"):
        pass


@pytest.mark.parametrize("content", ["", "[1]", "no JSON", "[" * 4_096, '{"process": {}}'])
def test_a_holder_that_says_nothing_is_another_process(tmp_path, content):
    with hold(tmp_path):
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(RunError, match=r"must not be in use, got: held by (another )?process"):
            hold(tmp_path).__enter__()


def test_what_a_holder_says_stays_one_line(tmp_path):
    with hold(tmp_path):
        (tmp_path / LOCK).write_text(json.dumps({"command": "a\n\udcff\x1b[0m", "machine": "moon"}))
        with pytest.raises(RunError, match=re.escape("process ? on moon (a???[0m) since ?")):
            hold(tmp_path).__enter__()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_a_file_is_written(tmp_path, kind):
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("mine")
    if kind == "link":
        (folder / LOCK).symlink_to(victim)
    elif kind == "folder":
        (folder / LOCK).mkdir()
    else:
        os.mkfifo(folder / LOCK)
    with pytest.raises(RunError, match=r"must be (a file, got|writable, got: Is a dir)"):
        hold(folder).__enter__()
    assert victim.read_text() == "mine"
    assert [path.name for path in folder.iterdir()] == [LOCK]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RunError, match=r"absent must be writable, got: No such file"):
        hold(tmp_path / "absent").__enter__()


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RunError, match=r"must be writable, got: No space left on device"):
        hold(tmp_path).__enter__()


def test_a_folder_that_is_deleted_or_moved_meanwhile(tmp_path):
    (tmp_path / "a").mkdir()
    with hold(tmp_path / "a"):
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
        with hold(tmp_path / "a"):  # a new folder of that name is another one
            pass


class FakeWindows:
    """`msvcrt` as far as locks go: one byte of one file."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        self.held = set()

    def locking(self, descriptor, how, count):
        place = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR), count)
        if how == self.LK_UNLCK:
            self.held.remove(place)
        elif place in self.held:
            raise OSError(errno.EACCES, "Permission denied")
        else:
            self.held.add(place)


def test_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_fcntl", None)
    monkeypatch.setattr(locks, "_msvcrt", windows := FakeWindows())
    with hold(tmp_path):
        with pytest.raises(RunError, match="held by process"):
            hold(tmp_path).__enter__()
        assert len(windows.held) == 1
    assert not windows.held
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", [None, "refusing"])
def test_where_nothing_can_be_locked_it_says_so(tmp_path, monkeypatch, module):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    fake = (
        None if module is None else SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4, LOCK_UN=8)
    )
    monkeypatch.setattr(locks, "_fcntl", fake)
    monkeypatch.setattr(locks, "_msvcrt", None)
    with pytest.warns(RuntimeWarning, match="nothing keeps two processes out of one folder here"):
        hold(tmp_path).__enter__()


def test_what_a_kill_has_left_half_written_is_called_so(tmp_path):
    (tmp_path / ".start.7.tmp").mkdir()
    check_unused(tmp_path)  # nothing of it was in its place yet
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match=r"new or an empty folder, got .*, which a kill has left"):
        check_unused(tmp_path)
    (tmp_path / ".start.7.tmp").rmdir()
    with pytest.raises(RunError, match=rf"got {re.escape(str(tmp_path))}$"):
        check_unused(tmp_path)
