"""Files are whole or absent, whatever happens while they are written."""

import errno
import os
from functools import partial
from pathlib import Path

import pytest

from heedful.errors import RunError
from heedful.files import (
    named,
    read_json,
    read_whole,
    write_bytes,
    write_files,
    write_folder,
    write_into,
    write_json,
)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_written_can_be_read(tmp_path):
    write_json(tmp_path / "a.json", {"中": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"中": [1, 2.5, None]}
    assert "中".encode() in (tmp_path / "a.json").read_bytes()
    write_json(tmp_path / "b.json", [float("nan"), float("-inf")])  # which JSON has no words for
    assert read_json(tmp_path / "b.json") == [None, None]


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


def test_files_make_the_folders_that_they_are_in(tmp_path):
    write_files(tmp_path, {"a.bin": b"1", "deep/er/b.bin": b"2", "deep/c.bin": b""})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in files}
    assert found == {"a.bin": b"1", "deep/er/b.bin": b"2", "deep/c.bin": b""}


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


def test_json_nested_without_end_is_an_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b"[" * 100_000)
    with pytest.raises(RunError, match=r"a\.json must be whole, got JSON that is nested too deep"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.write_bytes(b"12345"), "must be readable, got: 5 bytes, more than 4"),
        (os.mkfifo, "must be readable, got: no ordinary file"),
        (lambda path: path.symlink_to("/dev/zero"), "must be readable, got: no ordinary file"),
        (lambda path: path.symlink_to("nowhere"), "must be readable, got: a link to nothing"),
        (lambda path: path.symlink_to(path), "must be readable, got: Too many levels"),
        (lambda path: None, r"a run folder must hold file, got none in"),
    ],
)
def test_only_ordinary_files_are_read(tmp_path, make, message):
    make(tmp_path / "file")
    with pytest.raises(RunError, match=message):
        read_whole(tmp_path / "file", most=4)


def test_a_name_that_cannot_be_is_an_error(tmp_path):
    with pytest.raises(RunError, match="must be readable, got: embedded null byte"):
        read_whole(tmp_path / "a\0b", most=4)
    with pytest.raises(RunError, match="must be a name that can be written, got NUL in it"):
        write_bytes(tmp_path / "a\0b", b"")
    with pytest.raises(RunError, match="can be written, got a letter that no utf-8 name can hold"):
        write_bytes(tmp_path / "\ud800", b"")
    for write in (lambda path: write_bytes(path, b""), lambda path: write_folder(path, Path.mkdir)):
        with pytest.raises(RunError, match="can be written, got a folder that is there"):
            write(Path("."))


def test_names_may_be_as_long_as_the_file_system_takes(tmp_path):
    write_bytes(tmp_path / ("x" * 255), b"1")
    write_folder(tmp_path / ("中" * 85), lambda folder: write_bytes(folder / "one", b"1"))
    assert sorted(len(os.fsencode(entry.name)) for entry in tmp_path.iterdir()) == [255, 255]
    with pytest.raises(RunError, match="must be writable, got: File name too long"):
        write_bytes(tmp_path / ("x" * 256), b"1")


def test_a_clean_up_that_fails_does_not_hide_the_cause(tmp_path, monkeypatch):
    """A read-only disk: neither is written nor can what is left be deleted."""

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(RunError, match="must be writable, got: Read-only file system"):
        write_bytes(tmp_path / "a", b"1")
    with pytest.raises(RunError, match="must be writable, got: Read-only file system"):
        write_folder(tmp_path / "b", lambda folder: None)


def test_below_a_file_nothing_can_be_written(tmp_path):
    write_bytes(tmp_path / "file", b"")
    with pytest.raises(RunError, match="must be writable, got: Not a directory"):
        write_bytes(tmp_path / "file" / "a", b"")
    with pytest.raises(RunError, match="must be writable, got: Not a directory"):
        write_folder(tmp_path / "file" / "a", lambda folder: None)


def test_a_rename_is_forced_to_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    write_bytes(tmp_path / "a", b"1")
    assert synced == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]


@pytest.mark.parametrize("write", [write_folder, partial(write_into, last="b", holds=())])
def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, write):
    """Each file and each folder in it once, however deep; the name after all of them."""
    made, synced = tmp_path / "made", []

    def fsync(descriptor):
        synced.append((os.fstat(descriptor).st_ino, (made / "b").exists()))

    def fill(folder):
        write_json(folder / "b", {})
        write_folder(folder / "in" / "deep", lambda deep: write_bytes(deep / "c", b"2"))
        (folder / "in" / "plain").write_bytes(b"3")

    monkeypatch.setattr(os, "fsync", fsync)
    write(made, fill)
    *before, (last, named) = synced
    inside = [path.stat().st_ino for path in made.rglob("*")]
    assert len(inside) == 5
    assert {*inside} < {inode for inode, _ in before}
    assert len(before) == 6, "these and the folder itself"
    assert not any(named for _, named in before)
    assert (last, named) == ((tmp_path if write is write_folder else made).stat().st_ino, True)


def test_a_folder_system_without_sync_will_do(tmp_path, monkeypatch):
    honest = os.fsync

    def fsync(descriptor):
        if os.fstat(descriptor).st_ino == tmp_path.stat().st_ino:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("typed", [".", "", "..", "a/.."])
def test_a_folder_without_a_name_is_named_by_where_it_is(tmp_path, monkeypatch, typed):
    (tmp_path / "run" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    assert named(Path(typed)) == (tmp_path if typed == ".." else tmp_path / "run")


@pytest.mark.parametrize("typed", ["run", "../run", "/run"])
def test_a_folder_with_a_name_stays_as_it_was_typed(typed):
    assert named(Path(typed)) == Path(typed)
