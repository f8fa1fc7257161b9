"""A journal gives back what was put, whatever was cut off, and to nobody else's search."""

import errno
import json
import os
import re

import pytest

from heedful.errors import ConfigError, RunError
from heedful.optimizing.journal import Journal

SEARCH = {"model": "9f2c", "budget": "chrf >= -0.5", "settings": {"seed": 3, "batch": 8}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "search.jsonl"


def opened(path, **changes):
    return Journal(path, fingerprint=SEARCH | changes)


def test_gives_back_what_was_put(path):
    entries = [
        ([0, 3, 1], 0.25),
        ({"site": "解码器", "level": 2}, {"cost": [1.5, 1.6], "shape": None}),
        ("0", True),
        (0, "zero"),
        (None, []),
    ]
    journal = opened(path)
    for key, value in entries:
        assert journal.get(key) is None
        assert key not in journal
        journal.put(key, value)
    for again in (journal, opened(path)):
        assert len(again) == 5
        for key, value in entries:
            assert key in again
            assert again.get(key) == value
    assert journal.get([0, 3]) is None


def test_a_tuple_is_a_list_before_and_after(path):
    journal = opened(path)
    journal.put((1, 2), (3.5, 4))
    for again in (journal, opened(path)):
        assert again.get([1, 2]) == again.get((1, 2)) == [3.5, 4]


def test_the_last_value_counts(path):
    journal = opened(path)
    for value in (1, 2, 3):
        journal.put("key", value)
    assert journal.get("key") == opened(path).get("key") == 3
    assert len(journal) == 1


def test_lines_are_json_and_the_first_one_says_of_what(path):
    opened(path).put({"b": 1, "a": 2}, 7)
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {"heedful_journal": 2, "fingerprint": SEARCH}
    assert len(second.pop("check")) == 16
    assert second == {"key": {"a": 2, "b": 1}, "value": 7}
    assert Journal(path, fingerprint=dict(reversed(SEARCH.items()))).get({"a": 2, "b": 1}) == 7


def test_every_line_is_forced_to_the_disk(path, monkeypatch):
    journal = opened(path)
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    journal.put("a", 1)
    journal.put("b", 2)
    lines = path.read_bytes().splitlines(keepends=True)
    assert sizes == [len(b"".join(lines[:2])), len(b"".join(lines))]


def test_a_line_that_was_cut_off_is_dropped_wherever_it_was_cut(path):
    opened(path).put("a", 1)
    whole = path.read_bytes()
    opened(path).put("b", {"值": 2})
    longer = path.read_bytes()
    for end in range(len(whole), len(longer)):
        path.write_bytes(longer[:end])
        journal = opened(path)
        assert (journal.get("a"), journal.get("b")) == (1, None)
        assert path.read_bytes() == whole
        journal.put("c", 3)
        assert [opened(path).get(key) for key in "abc"] == [1, None, 3]


def test_an_empty_file_is_begun(path):
    path.touch()
    opened(path).put("a", 1)
    assert opened(path).get("a") == 1


def test_a_missing_end_of_the_first_line_is_added(path):
    opened(path)
    path.write_bytes(path.read_bytes().rstrip())
    opened(path).put("a", 1)
    assert opened(path).get("a") == 1


def test_a_write_that_fails_leaves_no_half_line(path, monkeypatch):
    journal = opened(path)
    journal.put("a", 1)

    def full_disk(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(RunError, match=r"search\.jsonl must be writable, got: No space left"):
            journal.put("b", "long " * 99)
    assert "b" not in journal
    with path.open("ab") as file:
        file.write(b'{"key": "half')
    journal.put("c", 3)
    assert [opened(path).get(key) for key in "abc"] == [1, None, 3]


@pytest.mark.parametrize(
    "changes, names",
    [
        ({"model": "77aa"}, "model"),
        ({"settings": {"seed": 4, "batch": 8}}, "settings.seed"),
        ({"settings": {"batch": 8}, "budget": "chrf >= -1"}, "budget, settings.seed"),
        ({"device": "cuda"}, "device"),
        ({"settings": [3, 8]}, "settings"),
    ],
)
def test_another_search_is_refused(path, changes, names):
    opened(path).put("a", 1)
    before = path.read_bytes()
    message = (
        f"journal must be of the same search, got a difference in {names}. "
        f"Delete {path} or choose another output."
    )
    with pytest.raises(RunError, match=re.escape(message)):
        opened(path, **changes)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content, message",
    [
        ("my notes", "search.jsonl must be a journal of heedful, got another file"),
        ("[1]\n", "search.jsonl must be a journal of heedful, got another file"),
        ('{"step": 4}\n', "search.jsonl must be a journal of heedful, got another file"),
        ('{"heedful_journal": 1}\n', "search.jsonl must be of format 2, got 1"),
        ('{"heedful_journal": 2}\n', "got a difference in fingerprint. Delete "),
    ],
)
def test_other_files_are_refused_and_left_alone(path, content, message):
    path.write_text(content)
    with pytest.raises(RunError, match=re.escape(message)):
        opened(path)
    assert path.read_text() == content


@pytest.mark.parametrize("line", ['{"key": 1', '{"key": 1}', "[]", "", '{"key": 1, "value": 2}'])
def test_damage_before_the_last_line_is_named(path, line):
    opened(path).put("a", 1)
    with path.open("a") as file:
        file.write(f'{line}\n{{"key": 2, "value": 3}}\n')
    with pytest.raises(RunError, match=r"jsonl must be whole, got damaged JSON in line 3"):
        opened(path)


DAMAGES = {
    "a digit": (lambda lines: [*lines[:2], lines[2].replace(b"0.25", b"0.75"), *lines[3:]], 3),
    "a key": (lambda lines: [lines[0], lines[1].replace(b'"a"', b'"x"'), *lines[2:]], 2),
    "a line that is gone": (lambda lines: [*lines[:2], *lines[3:]], 3),
    "two lines in another order": (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], 3),
    "a line that stands twice": (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
    "no number": (lambda lines: [*lines[:2], lines[2].replace(b"0.25", b"NaN"), *lines[3:]], 3),
    "a line of another journal": (lambda lines: [*lines[:4], FOREIGN], 5),
}
FOREIGN = b'{"key": "d", "value": 4, "check": "0123456789abcdef"}\n'


@pytest.mark.parametrize("damage", DAMAGES)
def test_lines_that_are_whole_and_not_what_was_written_are_named(path, damage):
    journal = opened(path)
    for key, value in zip("abcd", (1, 0.25, [2], "x"), strict=True):
        journal.put(key, value)
    do, line = DAMAGES[damage]
    damaged = b"".join(do(path.read_bytes().splitlines(keepends=True)))
    path.write_bytes(damaged)
    with pytest.raises(RunError, match=rf"jsonl must be whole, got a sum in line {line} that is"):
        opened(path)
    assert path.read_bytes() == damaged


def test_lines_of_another_process_are_never_taken_back(path):
    ours, theirs = opened(path), opened(path)
    theirs.put("a", 1)
    kept = path.read_bytes()
    with pytest.raises(RunError, match="must be written by one process, got lines of another one"):
        ours.put("b", 2)
    assert path.read_bytes() == kept
    assert "b" not in ours
    path.write_bytes(b"")
    with pytest.raises(RunError, match="by one process, got a file that is shorter now"):
        theirs.put("c", 3)


def test_a_journal_without_a_value_gives_way(path):
    opened(path)
    opened(path, model="77aa").put("a", 1)
    assert opened(path, model="77aa").get("a") == 1
    with pytest.raises(RunError, match="got a difference in model"):
        opened(path)


def test_what_cannot_be_read_or_made_is_named(tmp_path):
    with pytest.raises(RunError, match="must be readable, got: Is a directory"):
        opened(tmp_path)
    with pytest.raises(RunError, match="must be writable, got: No such file or directory"):
        opened(tmp_path / "none" / "search.jsonl")


def test_what_json_cannot_hold_is_refused(path):
    journal = opened(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="value must be plain JSON, got: Out of range float"):
        journal.put("a", float("nan"))
    with pytest.raises(ConfigError, match="key must be plain JSON, got: Object of type set"):
        journal.put({1, 2}, 3)
    with pytest.raises(ConfigError, match="key must be plain JSON, got: Object of type Posix"):
        journal.get(path)
    with pytest.raises(ConfigError, match="fingerprint must be plain JSON, got: Object of type"):
        opened(path, model=object())
    assert path.read_bytes() == before


def test_it_knows_whether_the_same_search_had_begun_it(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert not opened(path).begun
    assert opened(path).begun
    assert not opened(path, model="another").begun
    assert opened(path, model="another").begun
