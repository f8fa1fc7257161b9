"""What a manifest notices, and that old folders need none."""

import json
import re

import pytest

from heedful.errors import RunError
from heedful.manifest import MANIFEST, seal, sealed

CONTENT = {"a.toml": b"one = 1\ntwo = 2\n", "deep/b.jsonl": b"{}\n{}\n"}


@pytest.fixture
def folder(tmp_path):
    for name, content in CONTENT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    seal(tmp_path, CONTENT, name="first")
    return tmp_path


def test_what_was_written_is_read(folder):
    kept = sealed(folder)
    assert {name: kept.read(name) for name in CONTENT} == CONTENT
    assert kept.name == "first"
    assert (kept.holds("a.toml"), kept.holds("c")) == (True, False)


@pytest.mark.parametrize("name", CONTENT)
def test_no_cut_and_no_other_bit_goes_unnoticed(folder, name):
    """Least of all a cut at the end of a line, behind which nothing seems to be missing."""
    path, whole = folder / name, CONTENT[name]
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        message = f"{name} must be whole, got {end} of {len(whole)} bytes"
        with pytest.raises(RunError, match=re.escape(message)):
            sealed(folder).read(name)
    for bit in range(8 * len(whole)):
        other = bytearray(whole)
        other[bit // 8] ^= 1 << bit % 8
        path.write_bytes(other)
        with pytest.raises(RunError, match="must be as it was written, got something else than"):
            sealed(folder).read(name)


def test_a_changed_file_says_what_to_do(folder):
    (folder / "a.toml").write_bytes(CONTENT["a.toml"] + b"three = 3\n")
    message = f"Bring it back; if the change is meant, delete {folder / MANIFEST}."
    with pytest.raises(RunError, match=re.escape(message)):
        sealed(folder).read("a.toml")
    (folder / MANIFEST).unlink()
    assert sealed(folder).read("a.toml").endswith(b"three = 3\n")


def test_a_file_that_came_later_is_not_taken(folder):
    (folder / "c").write_bytes(b"")
    assert sealed(folder).holds("c")
    with pytest.raises(RunError, match="c must be as it was written"):
        sealed(folder).read("c")


def test_a_file_that_went_is_missed(folder):
    (folder / "a.toml").unlink()
    assert sealed(folder).holds("a.toml")
    with pytest.raises(RunError, match=r"a box must hold a\.toml, got none in"):
        sealed(folder, holder="a box").read("a.toml")


SOME = {"bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "plain",
    [
        *([], "x", None, 3, {}, {"format": 2, "files": {}}, {"format": 1, "files": []}),
        {"format": 1},
        {"format": 1, "files": {"../a": SOME}},
        {"format": 1, "files": {"/a": SOME}},
        {"format": 1, "files": {"a": None}},
        {"format": 1, "files": {"a": {**SOME, "bytes": -1}}},
        {"format": 1, "files": {"a": {**SOME, "bytes": True}}},
        {"format": 1, "files": {"a": {**SOME, "sha256": "0"}}},
        {"format": 1, "files": {"a": {**SOME, "sha256": 0}}},
        {"format": 1, "files": {"a": {"bytes": 1}}},
    ],
)
def test_a_strange_manifest_is_an_error(folder, plain):
    (folder / MANIFEST).write_text(json.dumps(plain))
    with pytest.raises(RunError, match=r"manifest\.json must list files with their bytes and sha"):
        sealed(folder)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("no")])
def test_a_manifest_that_is_no_file_is_not_overlooked(folder, make):
    (folder / MANIFEST).unlink()
    make(folder / MANIFEST)
    with pytest.raises(RunError, match=r"manifest\.json must be readable, got"):
        sealed(folder)


def test_what_is_not_there_cannot_be_sealed(tmp_path):
    with pytest.raises(RunError, match="a must be readable, got: No such file"):
        seal(tmp_path, ["a"])
