"""Journals that a kill has cut short, and databases."""

import os
import re
from pathlib import Path

import optuna
import pytest

from heedful.errors import MissingExtraError, RunError
from heedful.sharing.storage import (
    open_database,
    open_study,
    reachable,
    settle,
    without_password,
)


@pytest.mark.parametrize(
    "before, after", [(b"", b""), (b"{}\n", b"{}\n"), (b"{}\n{", b"{}\n"), (b"{", b"")]
)
def test_half_a_line_and_a_lock_are_dropped(tmp_path, before, after):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(before)
    (tmp_path / "journal.jsonl.lock").touch()
    settle(path)
    assert path.read_bytes() == after
    assert [each.name for each in tmp_path.iterdir()] == ["journal.jsonl"]


def test_a_database_is_opened_by_name(tmp_path):
    url = f"sqlite:///{tmp_path / 'all.db'}"
    study = open_study(tmp_path / "-", (url, "one"))
    study.enqueue_trial({"x": 1})
    assert len(open_study(tmp_path / "-", (url, "one")).get_trials()) == 1
    assert open_study(tmp_path / "-", (url, "other")).get_trials() == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="/proc says which files are open")
def test_the_file_of_a_database_is_not_kept_open(tmp_path):
    """Nobody would close it: Python 3.13 warns of that."""
    path = tmp_path / "all.db"
    url = f"sqlite:///{path}"
    with reachable(url):
        study = open_study(tmp_path / "-", (url, "one"))
        study.enqueue_trial({"x": 1})
        study.tell(study.ask(), 1.0)
        assert len(study.get_trials()) == 1
        held = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
    assert not [each for each in held if each.startswith(str(path))]


def test_a_database_in_memory_is_kept():
    storage = open_database("sqlite:///:memory:")
    study = optuna.create_study(storage=storage)
    study.tell(study.ask(), 1.0)
    assert [trial.value for trial in study.get_trials()] == [1.0]
    storage.engine.dispose()


@pytest.mark.parametrize(
    "url, kind, message",
    [
        ("nonsense", RunError, "the database of --storage must be usable, got: "),
        ("sqlite:////no/such/secret.db", RunError, "the database of --storage must be usable"),
        ("mysql+nothing://me:secret@there/x", RunError, "the database of --storage must be"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_a_password(
    tmp_path, url, kind, message
):
    with pytest.raises((kind, MissingExtraError), match=re.escape(message)) as error:
        open_study(tmp_path / "-", (url, "one"))
    assert "secret@" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_database_that_is_lost_is_one_line(tmp_path):
    study = open_study(tmp_path / "-", (f"sqlite:///{tmp_path / 'all.db'}", "one"))
    (tmp_path / "all.db").write_bytes(b"something else " * 999)
    message = "must be usable until the end, got: .*file is not a database.* With --resume the"
    with pytest.raises(RunError, match=message) as error, reachable(None):
        study.get_trials()
    assert "\n" not in str(error.value)


def test_what_is_no_fault_of_a_database_goes_through():
    with pytest.raises(KeyError), reachable(None):
        raise KeyError


@pytest.mark.parametrize(
    "word, shown",
    [
        ("postgresql://me:a:b@there:5432/x", "postgresql://me:***@there:5432/x"),
        ("--storage=mysql+pymysql://me:p@ss@there/x", "--storage=mysql+pymysql://me:***@there/x"),
        ("mysql://me:p/w@there/x", "mysql://me:***@there/x"),
        ("postgresql://me@there:5432/x", "postgresql://me@there:5432/x"),
        ("sqlite:////a:b/c.db", "sqlite:////a:b/c.db"),
        ("train.note=a@b", "train.note=a@b"),
    ],
)
def test_a_password_is_not_written_down(word, shown):
    assert without_password(word) == shown
