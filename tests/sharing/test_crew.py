"""Commands that share a search: each has a number, one acts at a time, and who is gone is known."""

import re
import subprocess
import sys

import pytest

from heedful.errors import RunError
from heedful.locks import hold
from heedful.sharing import crew as module
from heedful.sharing.crew import Crew


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "workers").mkdir()
    return tmp_path


def joined(folder):
    crew = Crew(folder)
    with crew.joining():
        pass
    return crew


def test_each_has_a_number_and_gives_it_back(folder):
    with joined(folder) as one, joined(folder) as other:
        assert (one.number, other.number) == (1, 2)
        assert (one.logs, other.logs) == (folder / "workers", folder / "workers" / "command-002")
        assert one.lives(1)
        assert one.lives(2)
        assert other.lives(1)
        assert not one.lives(3)
    assert list((folder / "workers").iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from heedful.sharing.crew import Crew
crew = Crew(Path(sys.argv[1]))
with crew.joining():
    (crew.logs / "worker-1.log").touch()
    os.kill(os.getpid(), 9)
"""


def test_who_was_killed_is_known_and_its_number_not_given_to_another(folder):
    with joined(folder) as one:
        killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
        assert killed.returncode == -9
        assert not one.lives(2)
        with joined(folder) as other:
            assert other.number == 3  # what number 2 has begun is its alone
        assert [path.name for path in (folder / "workers").iterdir()] == ["command-001"]


def test_what_workers_have_said_stays(folder):
    with joined(folder), joined(folder) as other:
        (other.logs / "worker-1.log").write_text("why it died")
    assert (folder / "workers" / "command-002" / "worker-1.log").read_text() == "why it died"


def test_one_acts_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.001)
    crew = Crew(folder)
    with hold(folder), pytest.raises(RunError, match=re.escape("must not be in use")):
        with crew.holding(patience=0.01):
            pass
    with crew.holding():
        with crew.holding(), pytest.raises(RunError), hold(folder):
            pass
        with pytest.raises(RunError), hold(folder):  # still
            pass
    with hold(folder):
        pass


def test_nobody_waits_for_a_folder_that_is_gone(tmp_path):
    crew = Crew(tmp_path / "gone")
    with pytest.raises(RunError, match="must be writable"), crew.holding(patience=600):
        pass
