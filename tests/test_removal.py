"""Folders that were written can be deleted, and nothing else can."""

import os

import pytest

from heedful.removal import remove_written

WRITTEN = ("log", "runs/*/weights")


def written(folder):
    """All that a program is known to write, and what it leaves where it is killed."""
    for name in ("log", ".log.7.tmp", "runs/1/weights", "runs/.2.7.tmp/weights"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1")
    return folder


def test_a_folder_that_was_written_can_be_deleted(tmp_path):
    assert remove_written(written(tmp_path / "ours"), WRITTEN)
    assert list(tmp_path.iterdir()) == []
    assert not remove_written(tmp_path / "missing", WRITTEN)


@pytest.mark.parametrize(
    "add",
    [
        lambda folder: (folder / "notes.txt").write_text("mine"),
        lambda folder: (folder / "runs" / "log").write_text("mine"),
        lambda folder: (folder / "runs" / "1" / "notes").mkdir(),
        lambda folder: (folder / "runs" / "1" / "weights.old").write_text("mine"),
        lambda folder: (folder / "runs" / "3").symlink_to("1"),
        lambda folder: (folder / "runs" / "1" / ".weights.7.tmp").symlink_to("weights"),
        lambda folder: os.mkfifo(folder / ".log.8.tmp"),
    ],
)
def test_a_folder_with_anything_else_stays_whole(tmp_path, add):
    folder = written(tmp_path / "ours")
    add(folder)
    before = sorted(folder.rglob("*"))
    assert not remove_written(folder, WRITTEN)
    assert sorted(folder.rglob("*")) == before


def test_nothing_is_deleted_through_a_link(tmp_path):
    written(tmp_path / "theirs")
    (tmp_path / "ours").symlink_to("theirs")
    assert not remove_written(tmp_path / "ours", WRITTEN)
    assert (tmp_path / "theirs" / "log").exists()
    assert not remove_written(tmp_path / "theirs" / "log", ("log",))
