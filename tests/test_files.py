"""Files are whole or absent, whatever happens while they are written."""

import errno
import os

import pytest

from heedful.errors import RunError
from heedful.files import read_json, write_bytes, write_folder, write_json


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_written_can_be_read(tmp_path):
    write_json(tmp_path / "a.json", {"中": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"中": [1, 2.5, None]}
    assert "中".encode() in (tmp_path / "a.json").read_bytes()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, failing, full_disk)
    with pytest.raises(RunError, match=r"a\.bin must be writable, got: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_file_beyond_the_size_limit_leaves_the_old_one(tmp_path):
    resource = pytest.importorskip("resource", reason="size limits are a thing of Unix")
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(RunError, match=r"must be writable, got: File too large"):
            write_bytes(path, bytes(5_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def fill(folder):
        (folder / "one").write_text("1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(RunError, match=r"made must be writable, got: No space left on device"):
        write_folder(tmp_path / "made", fill)
    assert list(tmp_path.iterdir()) == []
    write_folder(tmp_path / "made", lambda folder: write_bytes(folder / "one", b"1"))
    assert (tmp_path / "made" / "one").read_bytes() == b"1"
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


def test_missing_and_damaged_json_are_named(tmp_path):
    with pytest.raises(RunError, match=r"must hold a\.json, got none in"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"half":')
    with pytest.raises(RunError, match=r"a\.json must be whole, got damaged JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunError, match=r"must be readable, got: Is a directory"):
        read_json(tmp_path)
